"""The stream server is healthy while a call hangs no longer than its client lets it."""

import os
import time
from pathlib import Path

from mlstack.deployment import watcher as serving
from mlstack.prediction_log import mongo_sink, monitor_sink, prediction_log
from mlstack.settings import Settings
from operations.embedded.services import all_services
from server import serve_kinesis
from server.stream.heartbeat import is_fresh


def test_calls_that_hang_are_no_reason_to_be_unhealthy(tmp_path: Path) -> None:
    """The loop that writes the file waits for another thread's call, then makes its own."""
    options: dict[str, float] = vars(serve_kinesis._CLIENT_CONFIG)
    longest = options["connect_timeout"] + options["read_timeout"]
    path = tmp_path / "heartbeat"
    for calls, fresh in ((2, True), (3, False)):
        path.touch()
        written = time.time() - calls * longest
        os.utime(path, (written, written))
        assert is_fresh(path) is fresh


def test_the_server_has_the_time_to_end_while_everything_hangs() -> None:
    needed = (
        serve_kinesis._GRACE_SECONDS
        + 2 * serving._STOP_SECONDS
        + prediction_log._DRAIN_SECONDS
        + mongo_sink._CALL_SECONDS
        + 2 * monitor_sink._TIMEOUT_SECONDS  # to connect, and for the answer
    )
    (server,) = (s for s in all_services(Settings()) if s.name == "model-server-streams")
    assert server.stop_seconds > needed
