"""Supervisord that is slow or gone, and its configuration."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import UnixStreamServer
from tempfile import TemporaryDirectory
from typing import Any
from xmlrpc.server import SimpleXMLRPCDispatcher, SimpleXMLRPCRequestHandler

import psutil
import pytest

from mlstack.settings import ROOT, Settings
from operations.embedded import processes, supervisord
from operations.embedded.processes import Identity
from operations.embedded.services import all_services
from operations.embedded.supervisord import Supervisord
from operations.errors import StackError


class _Handler(SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False  # of TCP

    def log_request(self, *_: object) -> None:
        """A Unix socket's client has no address to log."""


class _Server(UnixStreamServer, SimpleXMLRPCDispatcher):
    """Accepts connections at once, and answers them once its thread runs."""

    def __init__(self, path: Path) -> None:
        SimpleXMLRPCDispatcher.__init__(self)
        UnixStreamServer.__init__(self, str(path), _Handler)
        self.register_function(lambda: {"statename": "RUNNING"}, "supervisor.getState")
        self.thread = threading.Thread(target=self.serve_forever)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    """The state folder of a clone."""
    return tmp_path / ".embedded"


@pytest.fixture
def server(stack: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """A supervisord that runs and accepts connections, but does not answer."""
    monkeypatch.setattr(supervisord, "_ANSWER_SECONDS", 0.2)
    (stack / "run").mkdir(parents=True)
    stand_in = subprocess.Popen(
        [sys.executable, "-c", "import signal; signal.pause()"],
        env={**os.environ, **processes.marker(stack, "supervisord")},
    )
    Identity.of(stand_in.pid).write(stack / "run/supervisord.pid.json")
    # A test's own folder may be too deep for a Unix socket.
    with (
        TemporaryDirectory(prefix="mlstack-") as folder,
        _Server(Path(folder) / "control") as server,
    ):
        (stack / "run/socket").write_text(f"{folder}/control")
        try:
            yield server
        finally:
            if server.thread.is_alive():
                server.shutdown()
                server.thread.join()
            # Where a test fails, a real one may have taken the stand-in's place.
            Supervisord(stack, ()).end()
            stand_in.wait()


def test_slow_supervisord_is_kept(
    stack: Path, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending it would end every service."""
    daemon = Supervisord(stack, ())
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        server.thread.start()

    monkeypatch.setattr(supervisord, "say", say)
    assert not daemon.ensure(())
    assert ["does not answer" in line for line in said] == [True]
    assert daemon.is_running


def test_supervisord_is_kept_after_clock_step(stack: Path, server: _Server) -> None:
    """Its record is compared with nothing that a clock moves."""
    server.thread.start()
    record = stack / "run/supervisord.pid.json"
    document = json.loads(record.read_text())
    record.write_text(json.dumps(document | {"started": document["started"] + 60}))
    daemon = Supervisord(stack, ())
    assert daemon.is_running
    assert not daemon.ensure(())
    assert daemon.is_running


@pytest.mark.parametrize("record", ["", '{"pid": 1, "started": 1.0, "born": "1-x"}'])
def test_supervisord_is_kept_without_its_record(stack: Path, server: _Server, record: str) -> None:
    """A folder that was restored while it runs has no record of it, or an old one."""
    server.thread.start()
    (stack / "run/supervisord.pid.json").write_text(record)
    assert not Supervisord(stack, ()).ensure(())


def test_supervisord_may_end_before_the_signal(
    stack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else may end it between the look and the signal."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    process = psutil.Process(child.pid)
    child.wait()
    monkeypatch.setattr(Supervisord, "_process", lambda _: process)
    assert Supervisord(stack, ()).end() == 0


def test_copied_folder_leaves_supervisord_of_original(stack: Path, server: _Server) -> None:
    """Neither the process nor its socket is the copy's."""
    copied = shutil.copytree(stack.parent, stack.parent / "copied") / ".embedded"
    control = Path((copied / "run/socket").read_text())
    assert not Supervisord(copied, ()).is_running
    Supervisord(copied, ()).end()
    assert Supervisord(stack, ()).is_running
    assert control.exists()
    assert server.fileno() > 0


@pytest.mark.parametrize(
    ("configuration", "moved"),
    [
        (f"; in {ROOT}\n[supervisord]\n", False),
        (f"[supervisord]\ndirectory={ROOT}\n", False),
        ("; in /another/name\n[supervisord]\n", True),
        (f"[supervisord]\ndirectory={ROOT}-before\n", True),
    ],
)
def test_renamed_folder_is_noticed(stack: Path, configuration: str, *, moved: bool) -> None:
    (stack / "run").mkdir(parents=True)
    assert not Supervisord(stack, ()).was_moved
    (stack / "run/supervisord.conf").write_text(configuration)
    assert Supervisord(stack, ()).was_moved is moved


def test_new_service_is_noticed(stack: Path, server: _Server) -> None:
    """A supervisord of the release before cannot start it."""
    services = {service.name: service for service in all_services(Settings())}
    info = {"statename": "RUNNING", "pid": 7, "start": 1, "spawnerr": "", "description": ""}
    server.register_function(lambda: [info | {"name": "aws"}], "supervisor.getAllProcessInfo")
    server.thread.start()
    daemon = Supervisord(stack, services.values())
    assert daemon._fault([services["aws"]]) == ""
    assert daemon._fault(services.values()).startswith("there are new services (mlflow, ")


def test_service_that_is_gone_is_noticed(stack: Path, server: _Server) -> None:
    """Otherwise fewer Dask workers would leave some that nobody sees."""
    aws = next(each for each in all_services(Settings()) if each.name == "aws")
    info = {"statename": "RUNNING", "start": 1, "spawnerr": "", "description": ""}
    known = [info | {"name": "aws", "pid": 7}, info | {"name": "dask-worker-2", "pid": 8}]
    server.register_function(lambda: known, "supervisor.getAllProcessInfo")
    server.thread.start()
    assert Supervisord(stack, [aws])._fault([aws]) == "services are gone (dask-worker-2)"


def test_call_to_stuck_supervisord_times_out(
    stack: Path, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisord, "_PATIENCE_SECONDS", 0.2)
    assert not server.thread.is_alive()
    with pytest.raises(StackError, match="does not answer"):
        Supervisord(stack, ()).states()


def test_start_skips_pause_between_retries(stack: Path, server: _Server) -> None:
    service = all_services(Settings())[0]
    told: list[str] = []
    info = {"name": service.name, "statename": "BACKOFF", "pid": 0, "start": 0, "stop": 0}
    state = info | {"spawnerr": "", "description": ""}
    server.register_function(lambda: [state], "supervisor.getAllProcessInfo")

    def stop(*arguments: Any) -> bool:
        told.append(f"stop {arguments[0]}")
        return True

    def start(*arguments: Any) -> bool:
        told.append(f"start {arguments[0]}")
        return True

    server.register_function(stop, "supervisor.stopProcess")
    server.register_function(start, "supervisor.startProcess")
    server.thread.start()
    Supervisord(stack, [service]).start(service)
    name = f"{service.group}:{service.name}"
    assert told == [f"stop {name}", f"start {name}"]


def test_services_are_retried_for_a_month() -> None:
    """A full disk or a taken port may last for days."""
    services = all_services(Settings())
    text = supervisord._configuration(services)
    tries = [int(line.partition("=")[2]) for line in text.splitlines() if "startretries" in line]
    assert len(tries) == len(services)
    # The pause before each grows by a second: this is a month of them.
    assert all(sum(range(2300)) > 30 * 86_400 and n > 2300 for n in tries)
