"""A service that runs as one process and shows its metrics on a port of its own."""

import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from mlstack.settings import ROOT
from tests.support.metrics import sample_sum
from tests.support.ports import free_port
from tests.support.server_environment import server_environment


class ServiceProcess:
    """A running service; the context manager ends it, and may be entered again.

    Args:
        module: What Python runs.
        port_variable: The setting that its port comes from.
        state: Its state folder.
        settings: More settings, as environment variables.
    """

    stop_seconds = 20

    def __init__(self, module: str, port_variable: str, state: Path, **settings: str) -> None:
        self.module, self.state, self.port = module, state, free_port()
        self.log = state / f"{module}-{self.port}.log"
        own = {port_variable: str(self.port)}
        self.environment = server_environment(state, **own, **settings)

    def start(self, **environment: str) -> Self:
        """Start it; return at once."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
            )
        return self

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            finally:
                self.kill()

    def stop(self) -> int:
        """Tell it to stop and wait; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(self.stop_seconds)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        """Say whether it runs and shows its metrics."""
        if self.process.poll() is not None:
            raise AssertionError(f"{self.module} ended: {self.log.read_text()}")
        try:
            self.exposition()
        except (urllib.error.URLError, OSError):
            return False
        return True

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels."""
        return sample_sum(self.exposition(), name, **labels)

    def exposition(self) -> str:
        """Read its metrics, as Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())
