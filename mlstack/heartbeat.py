"""Heartbeat files: proof that the loop of a service without a port still turns.

`python -m mlstack.heartbeat NAME` exits with 0 while the heartbeat of that service is fresh: a
container's health check.
"""

import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mlstack.files import write_atomically
from mlstack.probes import Answer
from mlstack.settings import Settings

log = logging.getLogger(__name__)

_WRITE_SECONDS = 1.0


class Heartbeat:
    """The heartbeat file of one process.

    Args:
        path: The file.
        stale_seconds: A file that is older means that the loop is stuck. It must be longer than
            the longest sequence of blocking calls between two beats.
    """

    def __init__(self, path: Path, stale_seconds: float) -> None:
        self.path, self.stale_seconds = path, stale_seconds
        self._written = 0.0

    def beat(self) -> None:
        """Renew the file, once a second at most."""
        now = time.monotonic()
        if now - self._written < _WRITE_SECONDS:
            return
        self._written = now
        try:
            write_atomically(self.path, f"{time.time():.0f}\n".encode(), sync=False)
        except OSError as error:
            # A full disk, say. The old file turns stale, which is its purpose.
            log.warning("the heartbeat cannot be written: %s", error)

    def check(self) -> Answer:
        """Ready while the file is fresh."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return Answer(ready=False, detail="no heartbeat yet")
        fresh = age < self.stale_seconds
        return Answer(ready=fresh, detail="" if fresh else f"no heartbeat for {age:.0f} s")

    def remove(self) -> None:
        """Remove the file: the service ends in order, it is not stuck."""
        self.path.unlink(missing_ok=True)


def aws_keeper(settings: Settings) -> Heartbeat:
    """Return the heartbeat of the AWS keeper, renewed whenever nothing is missing."""
    return Heartbeat(settings.state_path / "aws" / "heartbeat", 15)


def stream_server(settings: Settings) -> Heartbeat:
    """Return the heartbeat of the stream server of this machine or container."""
    name = f"heartbeat-{os.uname().nodename}-{settings.stream_metrics_port}"
    return Heartbeat(settings.state_path / "stream" / name, 60)


def simulator(name: str, settings: Settings) -> Heartbeat:
    """Return the heartbeat of a simulator of this machine or container."""
    name = f"heartbeat-{name}-{os.uname().nodename}"
    return Heartbeat(settings.state_path / "simulation" / name, 90)


_HEARTBEATS: dict[str, Callable[[Settings], Heartbeat]] = {
    "aws_keeper": aws_keeper,
    "stream_server": stream_server,
    "send_data_api": partial(simulator, "send_data_api"),
    "send_data_kinesis": partial(simulator, "send_data_kinesis"),
}


if __name__ == "__main__":
    answer = _HEARTBEATS[sys.argv[1]](Settings.load()).check()
    print(answer.detail)  # noqa: T201 - shown by `docker inspect`
    sys.exit(0 if answer.ready else 1)
