"""Embedded services that are killed, orphaned, started twice or reset."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from mlstack.probes import mongo_answers, url_answers
from operations.embedded import processes
from tests.support.aws import aws_client
from tests.support.ports import free_ports
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SMALL = ("aws", "mongo")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectCopy]:
    """A copy of the project, in a folder too deep for a Unix socket in it."""
    deep = tmp_path_factory.mktemp("project") / ("deep" * 20) / "project with spaces"
    deep.mkdir(parents=True)
    with project_copy(deep) as copy:
        yield copy


@pytest.fixture
def stack(project: ProjectCopy) -> ProjectCopy:
    """The copy with its two smallest services up."""
    started = project.supervise("start", *SMALL)
    assert started.returncode == 0, started.stdout
    return project


def _answers(project: ProjectCopy, service: str) -> bool:
    if service == "mongo":
        return mongo_answers(f"mongodb://127.0.0.1:{project.port('MONGO_PORT')}").ready
    return url_answers(f"http://127.0.0.1:{project.port('AWS_PORT')}/moto-api/").ready


def _kill(pid: int | None) -> None:
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("service", SMALL)
def test_killed_service_comes_back_and_answers(stack: ProjectCopy, service: str) -> None:
    """Supervisord starts it again."""
    before = stack.pid(service)
    _kill(before)
    wait_until(
        lambda: stack.pid(service) not in (None, before) and _answers(stack, service),
        f"{service} is back",
    )


def test_children_of_a_killed_service_are_ended(stack: ProjectCopy) -> None:
    """A child that carries the service's marker goes; a process that does not stays."""
    marker = processes.marker(stack.folder / ".embedded", "aws")
    sleep = [sys.executable, "-c", "import signal; signal.pause()"]
    orphan = subprocess.Popen(sleep, env={**os.environ, **marker})
    stranger = subprocess.Popen(sleep)
    try:
        _kill(stack.pid("aws"))
        wait_until(lambda: orphan.poll() is not None, "the orphan is ended")
        wait_until(lambda: _answers(stack, "aws"), "aws is back")
        assert stranger.poll() is None
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()


def test_killed_supervisord_does_not_block_a_start(stack: ProjectCopy) -> None:
    """Its orphans are replaced."""
    orphans = {service: stack.pid(service) for service in SMALL}
    _kill(stack.pid("supervisord"))
    wait_until(lambda: stack.pid("supervisord") is None, "supervisord is gone")
    assert "supervisord was killed" in stack.make("status").stdout

    started = stack.supervise("start", *SMALL)

    assert started.returncode == 0, started.stdout
    for service, orphan in orphans.items():
        assert orphan is not None
        assert not _alive(orphan)
        assert _answers(stack, service)
    assert len(stack.processes()["supervisord"]) == 1


@pytest.mark.parametrize("damage", ["clock step", "lost record"])
def test_running_services_are_left_alone(stack: ProjectCopy, damage: str) -> None:
    """Neither a clock that was set nor a lost record looks like a dead supervisord."""
    record = stack.folder / ".embedded/run/supervisord.pid.json"
    before = {service: stack.pid(service) for service in SMALL}
    if damage == "lost record":
        record.unlink()
    else:
        document = json.loads(record.read_text())
        record.write_text(json.dumps(document | {"started": document["started"] + 60}))
    status = stack.make("status").stdout
    up = re.findall(r"(?m)^(\S+) +(?:running|starting) ", status)
    assert {*SMALL} <= {*up}, status
    started = stack.supervise("start", *SMALL)
    assert "supervisord started" not in started.stdout
    assert {service: stack.pid(service) for service in SMALL} == before


def test_renamed_folder_goes_on(stack: ProjectCopy) -> None:
    """Its services are still its own; the next start gives them the new name."""
    before, renamed = stack.folder, stack.folder.with_name("renamed")
    pid = stack.pid("mongo")
    stack.folder = before.rename(renamed)
    try:
        status = stack.make("status").stdout
        assert re.search(rf"(?m)^mongo +running +{pid} .* yes$", status), status
        started = stack.supervise("start", *SMALL)
        assert "this folder was renamed" in status
        assert "this folder was renamed" in started.stdout
        assert all(_answers(stack, service) for service in SMALL)
        assert stack.pid("mongo") not in (None, pid)
        assert len(stack.processes()["supervisord"]) == 1
    finally:
        stack.folder = renamed.rename(before)


def test_copied_folder_leaves_its_original_alone(stack: ProjectCopy, tmp_path: Path) -> None:
    """What runs belongs to the original: the copy can be reset, and takes nothing with it."""
    shutil.copytree(stack.folder, tmp_path / "copy", symlinks=True)
    copy = ProjectCopy(tmp_path / "copy", stack.variables)
    assert "is a copy of" in copy.make("status").stdout
    assert copy.processes() == {}
    reset = copy.make("reset_all", env="embedded")
    assert reset.returncode == 0, reset.stdout
    status = stack.make("status").stdout
    assert all(re.search(rf"(?m)^{service} .* yes$", status) for service in SMALL), status


def test_lost_control_socket_does_not_block_a_start(stack: ProjectCopy) -> None:
    """Temporary folders get tidied up: then supervisord runs, and cannot be reached."""
    Path((stack.folder / ".embedded/run/socket").read_text()).unlink()
    started = stack.supervise("start", *SMALL)
    assert started.returncode == 0, started.stdout
    assert all(_answers(stack, service) for service in SMALL)
    assert len(stack.processes()["supervisord"]) == 1


def test_two_starts_at_once_start_one_supervisord(project: ProjectCopy) -> None:
    """One of them waits for the other."""
    project.make("reset_all", env="embedded")
    given = ("--given", " ".join(project.variables))
    command = [sys.executable, "-m", "mlstack.with_environment", *given, "--set-up", "embedded"]
    starts = [
        subprocess.Popen(
            [*command, "-m", "operations.stack", "start", "aws"],
            cwd=project.folder,
            env={**os.environ, **project.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [start.communicate(timeout=60)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0], outputs
    assert sum("supervisord started" in output for output in outputs) == 1, outputs
    assert len(project.processes()["supervisord"]) == 1


def test_stop_of_the_last_service_ends_supervisord(stack: ProjectCopy) -> None:
    """Nothing is left running."""
    stack.supervise("stop", "mongo")
    assert stack.pid("mongo") is None
    assert _answers(stack, "aws")
    stack.supervise("stop", "aws")
    assert stack.processes() == {}


def test_changed_settings_restart_what_they_change(stack: ProjectCopy) -> None:
    """A service that is up under another port moves; the other one is left alone."""
    aws = stack.pid("aws")
    stack.variables["MONGO_PORT"] = str(free_ports(1)[0])
    started = stack.supervise("start", *SMALL)
    assert started.returncode == 0, started.stdout
    assert _answers(stack, "mongo")
    assert stack.pid("aws") == aws


def test_open_stack_has_a_token_and_private_folders(
    project: ProjectCopy,
) -> None:
    """`make demo BIND_ADDRESS=0.0.0.0` is what doctor and README name."""
    project.variables["BIND_ADDRESS"] = "0.0.0.0"
    state = project.folder / "elsewhere"
    project.variables["STATE_DIR"] = str(state)
    try:
        started = project.supervise("start", "mongo")
        assert started.returncode == 0, started.stdout
        token = project.folder / ".embedded/feedback_token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert {path.stat().st_mode & 0o777 for path in (token.parent, state)} == {0o700}
        read = "from mlstack.settings import Settings; print(Settings.load().feedback_token)"
        done = subprocess.run(
            [
                *(project.folder / ".venv/bin/python", "-m", "mlstack.with_environment"),
                *("embedded", "-c", read),
            ],
            cwd=project.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == token.read_text()
        assert token.read_text() not in started.stdout
    finally:
        del project.variables["BIND_ADDRESS"], project.variables["STATE_DIR"]
        project.make("reset_all", env="embedded")


def test_dask_workers_are_supervised_and_can_be_fewer(stack: ProjectCopy) -> None:
    """The other services run on when the cluster's size changes."""
    before = {*stack.variables}
    stack.variables |= {
        "TRAIN_ENGINE": "dask",
        "TRAIN_WORKERS": "2",
        "DASK_SCHEDULER": f"tls://127.0.0.1:{free_ports(1)[0]}",
    }
    try:
        started = stack.supervise("start", "dask-scheduler", "dask-worker-1", "dask-worker-2")
        assert started.returncode == 0, started.stdout
        assert _answers(stack, "aws")
        killed = stack.pid("dask-worker-2")
        _kill(killed)
        wait_until(lambda: stack.pid("dask-worker-2") not in (None, killed), "it is back")
        stack.variables["TRAIN_WORKERS"] = "1"
        started = stack.supervise("start", "dask-scheduler")
        assert started.returncode == 0, started.stdout
        assert "services are gone (dask-worker-2)" in started.stdout
        assert {"aws", "dask-scheduler", "dask-worker-1"} <= stack.processes().keys()
        assert "dask-worker-2" not in stack.processes()
        secrets = stack.folder / ".secrets"
        assert {path.stat().st_mode & 0o077 for path in secrets.rglob("*")} == {0}
    finally:
        for name in stack.variables.keys() - before:
            del stack.variables[name]
        stack.make("reset_all", env="embedded")


def test_taken_port_fails_the_start_and_names_its_holder(project: ProjectCopy) -> None:
    """Doctor says how to choose another."""
    project.make("reset_all", env="embedded")
    with socket.socket() as other:
        other.bind(("127.0.0.1", project.port("MONGO_PORT")))
        other.listen()
        started = project.supervise("start", "mongo")
        doctor = project.make("doctor")
    assert started.returncode != 0
    assert f"port {project.port('MONGO_PORT')} is in use by process {os.getpid()}" in started.stdout
    assert doctor.returncode != 0
    assert "make demo MONGO_PORT=" in doctor.stdout


def test_reset_leaves_nothing_behind(stack: ProjectCopy) -> None:
    """No process, folder or control socket stays."""
    control = Path((stack.folder / ".embedded/run/socket").read_text())
    before = {path.name for path in stack.folder.iterdir()}
    reset = stack.make("reset_all", env="embedded")
    assert reset.returncode == 0, reset.stdout
    assert stack.processes() == {}
    assert not control.parent.exists()
    assert control.parent.parent == Path(tempfile.gettempdir())
    assert not any(_answers(stack, service) for service in SMALL)
    assert {path.name for path in stack.folder.iterdir()} == before - {".embedded", ".env"}


def test_reset_of_nothing_succeeds(project: ProjectCopy) -> None:
    """It can be run twice."""
    for _ in range(2):
        reset = project.make("reset_all", env="embedded")
        assert reset.returncode == 0, reset.stdout


def test_reset_ends_orphans_of_a_killed_supervisord(stack: ProjectCopy) -> None:
    """Services without their supervisord are ended too."""
    _kill(stack.pid("supervisord"))
    reset = stack.make("reset_all", env="embedded")
    assert reset.returncode == 0, reset.stdout
    assert stack.processes() == {}


def test_reset_follows_no_link_out_of_the_project(project: ProjectCopy, tmp_path: Path) -> None:
    """What a link leads to is kept."""
    project.make("reset_all", env="embedded")
    (tmp_path / "precious").write_text("kept")
    (project.folder / ".embedded").symlink_to(tmp_path)
    reset = project.make("reset_all", env="embedded")
    assert reset.returncode == 0, reset.stdout
    assert not (project.folder / ".embedded").is_symlink()
    assert (tmp_path / "precious").read_text() == "kept"


def test_idle_connection_does_not_block_the_emulator(stack: ProjectCopy) -> None:
    """A browser opens connections ahead and sends nothing on them."""
    with socket.create_connection(("127.0.0.1", stack.port("AWS_PORT"))):
        assert _answers(stack, "aws")


def test_concurrent_puts_lose_no_record(stack: ProjectCopy) -> None:
    """What Kinesis has acknowledged is there, with several producers at once."""

    def client() -> "KinesisClient":
        made: KinesisClient = aws_client("kinesis", stack.port("AWS_PORT"))
        return made

    client().create_stream(StreamName="many", ShardCount=1)

    def put(producer: int) -> list[str]:
        kinesis = client()
        return [
            kinesis.put_record(
                StreamName="many", Data=f"{producer}-{n}".encode(), PartitionKey=str(n)
            )["SequenceNumber"]
            for n in range(100)
        ]

    with ThreadPoolExecutor(4) as producers:
        acknowledged = [number for numbers in producers.map(put, range(4)) for number in numbers]
    kinesis = client()
    shard = kinesis.list_shards(StreamName="many")["Shards"][0]["ShardId"]
    iterator = kinesis.get_shard_iterator(
        StreamName="many", ShardId=shard, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    read = kinesis.get_records(ShardIterator=iterator, Limit=1000)["Records"]
    assert {record["SequenceNumber"] for record in read} == set(acknowledged)
    assert len(read) == 400
