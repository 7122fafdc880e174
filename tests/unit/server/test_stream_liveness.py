"""The stream server is healthy while a call hangs no longer than its client lets it."""

import os
import threading
import time
from pathlib import Path

import pytest

from mlstack import heartbeat
from mlstack.deployment import watcher
from mlstack.heartbeat import Heartbeat
from mlstack.settings import Settings
from mlstack.streams import client
from operations.embedded.services import all_services
from server import serve_kinesis
from server.stream.liveness import Liveness
from tests.support.waiting import wait_until


def test_stuck_thread_stops_heartbeat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat is not renewed while a thread at work gives no sign."""
    monkeypatch.setattr("server.stream.liveness.STUCK_SECONDS", 0.05)
    monkeypatch.setattr("mlstack.heartbeat._WRITE_SECONDS", 0.0)
    path = tmp_path / "beat"
    liveness = Liveness(Heartbeat(path, 60))
    ending = threading.Event()

    def work() -> None:
        with liveness.at_work():
            ending.wait()

    def is_renewed() -> bool:
        path.unlink(missing_ok=True)
        liveness.renew()
        return path.exists()

    assert is_renewed()
    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: not is_renewed(), "the file is left alone")
    ending.set()
    thread.join()
    assert is_renewed()


def test_hanging_calls_do_not_make_server_unhealthy(tmp_path: Path) -> None:
    """The loop that renews the file waits for another thread's call, then makes its own."""
    longest = client.CONNECT_SECONDS + client.READ_SECONDS
    server = heartbeat.stream_server(Settings(state_dir=tmp_path))
    for calls, ready in ((2, True), (3, False)):
        server.path.parent.mkdir(exist_ok=True)
        server.path.touch()
        written = time.time() - calls * longest
        os.utime(server.path, (written, written))
        assert server.check().ready is ready


def test_server_has_time_to_end_while_all_hangs() -> None:
    """Whoever stops the server waits longer than its last calls may take together."""
    needed = serve_kinesis._GRACE_SECONDS + 2 * watcher._STOP_SECONDS
    (server,) = (s for s in all_services(Settings()) if s.name == "model-server-streams")
    assert server.stop_seconds > needed
