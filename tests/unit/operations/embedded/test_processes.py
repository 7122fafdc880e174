"""The stack's own processes are told from all others."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from operations.clone import identify
from operations.embedded import processes
from operations.embedded.processes import Identity
from tests.support.waiting import wait_until


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """The state folder of a clone."""
    (tmp_path / "clone/.embedded/run").mkdir(parents=True)
    return tmp_path / "clone/.embedded"


@contextmanager
def _process(stack: Path, marks: dict[str, str]) -> Iterator[int]:
    """Run a process with marks in the folder of the clone."""
    sleep = [sys.executable, "-c", "import signal; signal.pause()"]
    process = subprocess.Popen(sleep, env={**os.environ, **marks}, cwd=stack.parent)
    try:
        wait_until(psutil.Process(process.pid).environ, "it has an environment")
        yield process.pid
    finally:
        process.kill()
        process.wait()


def _change_record(stack: Path, **changes: object) -> None:
    record = stack / "run/mlflow.pid.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


def test_recorded_process_is_found(stack: Path) -> None:
    with _process(stack, processes.marker(stack, "mlflow")) as pid:
        Identity.of(pid).write(stack / "run/mlflow.pid.json")
        process = processes.find_recorded(stack, "mlflow")
        assert process is not None
        assert process.pid == pid
    assert processes.find_recorded(stack, "mlflow") is None


@pytest.mark.parametrize("step", [60, -60, 1e9])
def test_process_is_found_after_clock_step(stack: Path, step: float) -> None:
    """A clock that was set, or a machine that slept, changes when a process seems to start."""
    with _process(stack, processes.marker(stack, "mlflow")) as pid:
        Identity.of(pid).write(stack / "run/mlflow.pid.json")
        _change_record(stack, started=time.time() + step)
        assert processes.find_recorded(stack, "mlflow") is not None


def test_reused_pid_is_another_process(stack: Path) -> None:
    """After a restart of the machine a recorded pid may belong to another process."""
    with _process(stack, processes.marker(stack, "mlflow")) as pid:
        Identity.of(pid).write(stack / "run/mlflow.pid.json")
        born = Identity.of(pid).born
        for another in (born.replace("-", "1-", 1), f"{born}0"):
            _change_record(stack, born=another)
            assert processes.find_recorded(stack, "mlflow") is None


def test_record_of_release_before_is_read(stack: Path) -> None:
    """It has no birth, and its process carries the folder's path: the marks decide."""
    marks = {"MLSTACK_STACK": "/a/name/of/before/.embedded", "MLSTACK_SERVICE": "mlflow"}
    with _process(stack, marks) as pid:
        (stack / "run/mlflow.pid.json").write_text(f'{{"pid": {pid}, "started": 1.0}}')
        assert processes.find_recorded(stack, "mlflow") is not None
        assert [each.pid for each in processes.find_by_service(stack)["mlflow"]] == [pid]
        assert processes.find_by_service(stack.parent.parent / "other/.embedded") == {}
    with _process(stack, {}) as pid:
        (stack / "run/mlflow.pid.json").write_text(f'{{"pid": {pid}, "started": 1.0}}')
        assert processes.find_recorded(stack, "mlflow") is None


def test_renamed_folder_keeps_its_processes(stack: Path) -> None:
    with _process(stack, processes.marker(stack, "mlflow")) as pid:
        Identity.of(pid).write(stack / "run/mlflow.pid.json")
        renamed = stack.parent.rename(stack.parent.with_name("renamed")) / ".embedded"
        process = processes.find_recorded(renamed, "mlflow")
        assert process is not None
        assert [each.pid for each in processes.find_by_service(renamed)["mlflow"]] == [pid]
        # A new clone in the old place.
        assert processes.find_by_service(stack) == {}


def test_copied_folder_has_no_processes(stack: Path) -> None:
    """Its records name the processes of its original."""
    with _process(stack, processes.marker(stack, "mlflow")) as pid:
        Identity.of(pid).write(stack / "run/mlflow.pid.json")
        copied = shutil.copytree(stack.parent, stack.parent.with_name("copied")) / ".embedded"
        assert processes.find_recorded(copied, "mlflow") is None
        assert processes.find_by_service(copied) == {}
        assert processes.end_service(copied, None, 1) == 0
        assert processes.find_recorded(stack, "mlflow") is not None


def test_unused_pid_is_no_process() -> None:
    assert Identity(2**22 + 1, 0.0).process() is None


def test_broken_record_is_no_identity(tmp_path: Path) -> None:
    record = tmp_path / "x.pid.json"
    assert Identity.read(record) is None
    for content in (b"", b"\xff", b'{"pid": 1', b"{}", b"[1]"):
        record.write_bytes(content)
        assert Identity.read(record) is None


def test_caller_and_ancestors_are_not_found(tmp_path: Path) -> None:
    """A target that runs inside a service must not end itself."""
    found = processes.find_by_service(tmp_path / ".embedded")
    assert os.getpid() not in {process.pid for group in found.values() for process in group}


def test_marker_names_checkout_and_service(tmp_path: Path) -> None:
    assert processes.marker(tmp_path / ".embedded", "mlflow") == {
        "MLSTACK_STACK": identify(tmp_path).id,
        "MLSTACK_SERVICE": "mlflow",
    }
