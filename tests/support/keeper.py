"""The log keeper as people run it: a process beside the servers of a state folder."""

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from mlstack.prediction_log.segment import Segment
from mlstack.settings import ROOT
from tests.support.metrics import sample_sum
from tests.support.ports import free_port
from tests.support.server_environment import server_environment
from tests.support.waiting import wait_until

_STOP_SECONDS = 20


class LogKeeper:
    """A running keeper; the context manager ends it, and may be entered again.

    Args:
        state: The state folder of the servers.
        settings: More settings, as environment variables.
    """

    def __init__(self, state: Path, **settings: str) -> None:
        self.port = free_port()
        self.log = state / "keeper.log"
        self._environment = server_environment(
            state, KEEPER_METRICS_PORT=str(self.port), **settings
        )

    def start(self, **environment: str) -> Self:
        """Start it; return at once."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlstack.prediction_log.keeper"],
                cwd=ROOT,
                env=self._environment | environment,
                stdout=log,
                stderr=log,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            finally:
                self.kill()

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels; wait until it shows its metrics."""
        wait_until(self._shows_metrics, f"the keeper shows its metrics; {self.log}")
        return sample_sum(self._exposition(), name, **labels)

    def _shows_metrics(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the keeper ended: {self.log.read_text()}")
        try:
            return "mlstack_spool_records" in self._exposition()
        except (urllib.error.URLError, OSError):
            return False

    def _exposition(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


def leave(spool: Path, *entries: tuple[str, bytes], source: str = "api") -> Path:
    """Leave a closed segment with entries, as a server does."""
    segment = Segment.create(spool, source)
    for kind, body in entries:
        segment.append(kind, [body])
    segment.close()
    return segment.path
