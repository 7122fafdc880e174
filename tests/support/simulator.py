"""A simulator as people run it."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from mlstack.settings import ROOT
from tests.support.server_environment import server_environment

_STOP_SECONDS = 8


class Simulator:
    """A running simulator; the context manager ends it.

    Args:
        name: Module of `simulation_business`.
        state: Its state folder.
        arguments: Its command line.
        settings: Environment variables.
    """

    def __init__(self, name: str, state: Path, *arguments: str, **settings: str) -> None:
        self.name, self.state = name, state
        state.mkdir(exist_ok=True)
        self.log = state / f"{name}.log"
        self._command = [sys.executable, "-m", f"simulation_business.{name}", *arguments]
        self._environment = server_environment(state, **{"SIMULATION_SECONDS": "1", **settings})

    def __enter__(self) -> Self:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def run(self) -> int:
        """Run it to its end; return its exit code."""
        with self:
            return self.process.wait(120)

    def stop(self) -> int:
        """Tell it to stop; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)

    def said(self) -> str:
        """Read its log."""
        if not self.log.exists():
            return ""
        return self.log.read_text()

    def batches(self) -> list[dict[str, float]]:
        """Read the figures of each batch from its log."""
        return [
            {key: float(value) for key, value in re.findall(r"(\w+)=(\S+)", line)}
            # A line without its end is just being written.
            for line in self.said().splitlines(keepends=True)
            if " batch sent=" in line and line.endswith("\n")
        ]

    def total(self, figure: str) -> float:
        """Sum a figure over all batches."""
        return sum(batch[figure] for batch in self.batches())

    def heartbeat(self) -> Path:
        """Path of its heartbeat file."""
        return self.state / "simulation" / f"heartbeat-{self.name}-{os.uname().nodename}"
