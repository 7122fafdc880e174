"""Heartbeat files: proof that a service without a port is not stuck.

`python -m mlstack.heartbeat NAME` is the container health check: it exits with 0 while that
service's heartbeat is fresh. It runs every few seconds, so it imports no package.
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from mlstack import machine_clock
from mlstack.files import write_atomically
from mlstack.probes import Answer

if TYPE_CHECKING:
    from mlstack.settings import Settings

log = logging.getLogger(__name__)

_WRITE_SECONDS = 1.0


class Heartbeat:
    """The heartbeat file of one process.

    `stale_seconds` is the age at which the loop counts as stuck. It must exceed the longest
    sequence of blocking calls between two beats.
    """

    def __init__(self, path: Path, stale_seconds: float) -> None:
        self.path, self.stale_seconds = path, stale_seconds
        self._written = 0.0

    def beat(self) -> None:
        """Renew the file, at most once a second."""
        now = time.monotonic()
        if now - self._written < _WRITE_SECONDS:
            return
        self._written = now
        try:
            write_atomically(self.path, f"{machine_clock.stamp()}\n".encode(), sync=False)
        except OSError as error:
            # Perhaps the disk is full. The old file turns stale, as it should.
            log.warning("the heartbeat cannot be written: %s", error)

    def check(self) -> Answer:
        """Return whether the file is fresh."""
        try:
            age = machine_clock.age_seconds(self.path.read_text(encoding="utf-8"), self.path)
        except FileNotFoundError:
            return Answer(ready=False, detail="no heartbeat yet")
        fresh = age < self.stale_seconds
        return Answer(ready=fresh, detail="" if fresh else f"no heartbeat for {age:.0f} s")

    def remove(self) -> None:
        """Remove the file when the service shuts down cleanly."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class OwnPlace:
    """The settings that a health check needs, without the packages that `Settings` imports."""

    state_path: Path
    stream_metrics_port: int

    @classmethod
    def read(cls) -> Self:
        """Read them from the environment; the port's default is that of `Settings`."""
        port = os.environ.get("STREAM_METRICS_PORT") or "9697"
        return cls(Path(os.environ["STATE_DIR"]), int(port))


Place: TypeAlias = "Settings | OwnPlace"
"""Where heartbeats are."""


def aws_keeper(settings: Place) -> Heartbeat:
    """Return the heartbeat of the AWS keeper, renewed while nothing is missing."""
    return Heartbeat(settings.state_path / "aws" / "heartbeat", 15)


def stream_server(settings: Place) -> Heartbeat:
    """Return the heartbeat of this host's stream server."""
    name = f"heartbeat-{os.uname().nodename}-{settings.stream_metrics_port}"
    return Heartbeat(settings.state_path / "stream" / name, 60)


def log_keeper(settings: Place) -> Heartbeat:
    """Return the heartbeat of the log keeper, which beats even while MongoDB is away."""
    # A batch of known predictions takes up to 20 calls of up to 5 s.
    return Heartbeat(settings.state_path / "keeper" / "heartbeat", 120)


def deployment_member(settings: Place) -> Heartbeat:
    """Return the heartbeat of the deployment member, renewed while it reaches S3."""
    return Heartbeat(settings.state_path / "deployment" / "heartbeat", 15)


def simulator(name: str, settings: Place) -> Heartbeat:
    """Return the heartbeat of a simulator on this host."""
    name = f"heartbeat-{name}-{os.uname().nodename}"
    return Heartbeat(settings.state_path / "simulation" / name, 90)


def dask_worker(settings: Place, name: str = os.uname().nodename) -> Heartbeat:
    """Return the heartbeat of a Dask worker, by default a container's."""
    return Heartbeat(settings.state_path / "dask" / f"heartbeat-{name}", 60)


HEARTBEATS: Mapping[str, Callable[[Place], Heartbeat]] = {
    "aws_keeper": aws_keeper,
    "stream_server": stream_server,
    "log_keeper": log_keeper,
    "deployment_member": deployment_member,
    "dask_worker": dask_worker,
    "send_data_api": partial(simulator, "send_data_api"),
    "send_data_kinesis": partial(simulator, "send_data_kinesis"),
}


def check_any_host(name: str, settings: Place) -> Answer:
    """Return whether a service beats on any host: every container has a host name of its own."""
    own = HEARTBEATS[name](settings)
    # The host follows the service's name, in which a short one may occur too.
    before, host, _ = own.path.name.rpartition(f"-{os.uname().nodename}")
    paths = own.path.parent.glob(f"{before}-*" if host else own.path.name)
    answers = [Heartbeat(path, own.stale_seconds).check() for path in paths]
    ready = next((answer for answer in answers if answer.ready), None)
    return ready or (answers[0] if answers else own.check())


if __name__ == "__main__":
    answer = HEARTBEATS[sys.argv[1]](OwnPlace.read()).check()
    print(answer.detail)  # noqa: T201 - shown by `docker inspect`
    sys.exit(0 if answer.ready else 1)
