"""Two clones with the same ports do not get at each other's services."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlstack.settings import Settings
from operations.embedded import job, layout, neighbours, processes
from operations.embedded.service import Service
from operations.embedded.services import all_services
from operations.embedded.stack import EmbeddedStack
from operations.errors import StackError
from operations.machine import ports

_LISTEN = """
import signal, socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
signal.pause()
"""


@contextmanager
def _listener(folder: Path, marks: dict[str, str]) -> Iterator[int]:
    """Listen on a port in a process of a clone; yield the port."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", _LISTEN],
        env={**os.environ, **marks},
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()
            process.wait()


def _services(port: int) -> tuple[Service, ...]:
    return all_services(Settings(mongo_port=port))


def test_port_of_another_clone_is_refused(tmp_path: Path) -> None:
    """Its predictions would be pruned, its models changed."""
    one, mine = tmp_path / "one", tmp_path / "mine/.embedded"
    mine.mkdir(parents=True)
    one.mkdir()
    for marks in (
        processes.marker(one / ".embedded", "mongo"),
        {"MLSTACK_STACK": f"{one}/.embedded"},  # of the release before
    ):
        with _listener(one, marks) as port:
            foreign = neighbours.describe_foreign(mine, _services(port))
            assert foreign.startswith(f"MONGO_PORT={port}: held by the clone in {one} (process ")
            with pytest.raises(StackError, match="run make there, or choose other ports here"):
                neighbours.require_own_ports(mine, _services(port))
            assert neighbours.describe_foreign(one / ".embedded", _services(port)) == ""


def test_port_of_own_or_unmarked_process_is_fine(tmp_path: Path) -> None:
    """A server may be started by hand."""
    mine = tmp_path / ".embedded"
    for marks in (processes.marker(mine, "mongo"), {}):
        with _listener(tmp_path, marks) as port:
            neighbours.require_own_ports(mine, _services(port))


def test_port_of_hidden_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells nobody whose the processes of other users are."""
    monkeypatch.setattr(ports, "listening", lambda: {27018: None})
    foreign = neighbours.describe_foreign(tmp_path / ".embedded", all_services(Settings()))
    assert foreign.startswith("MONGO_PORT=27018: held by another user's process, or a container")


def test_job_and_start_do_not_use_another_clones_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "mine/.embedded"
    mine.mkdir(parents=True)
    monkeypatch.setattr(layout, "STACK", mine)
    monkeypatch.setattr(sys, "argv", ["job", "operations.retention.prune"])
    (tmp_path / "one").mkdir()
    with _listener(tmp_path / "one", processes.marker(tmp_path / "one/.embedded", "mongo")) as port:
        monkeypatch.setenv("MONGO_PORT", str(port))
        with pytest.raises(StackError, match=f"MONGO_PORT={port}: held by the clone in"):
            job.main()
        stack = EmbeddedStack(Settings.load())
        with pytest.raises(StackError, match=f"MONGO_PORT={port}: held by the clone in"):
            stack.start(["mongo"])
        stack.status()
    said = capsys.readouterr().out
    assert f"!! MONGO_PORT={port}: held by the clone in {tmp_path / 'one'}" in said
