"""Load in a closed loop: each connection sends its next request when it has the answer.

wrk sends, because a client in Python would take more CPU time than a fast server.
"""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from benchmarks.serving.results import Latencies, Measured, NotMeasurable

_SCRIPT = Path(__file__).with_name("wrk.lua")
_MARK = "figures "
_TIMEOUT_SECONDS = 30


def require_wrk() -> None:
    """End the program if wrk is missing."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not on the PATH, and it sends the requests: run apt install wrk")


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A load of wrk's; `bodies` is a file with the JSON of a request on each line."""

    connections: int
    seconds: int
    bodies: Path
    rows: int = 1

    def run(self, url: str) -> Measured:
        """Send until the time is over."""
        with self.begin(url) as running:
            return running.result()

    def begin(self, url: str) -> "Running":
        """Start sending."""
        return Running(self, url)


class Running:
    """A load that is being sent; the context manager ends it."""

    def __init__(self, load: ClosedLoop, url: str) -> None:
        self._rows = load.rows
        self._process = subprocess.Popen(
            [
                *("wrk", "--threads", "1", "--connections", str(load.connections)),
                *("--duration", f"{load.seconds}s", "--timeout", f"{_TIMEOUT_SECONDS}s"),
                *("--script", str(_SCRIPT), url, "--", str(load.bodies)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # it closes the pipe and waits
            self._process.kill()

    def result(self) -> Measured:
        """Wait for the end of the load."""
        output, _ = self._process.communicate()
        if self._process.returncode:
            raise NotMeasurable(f"wrk ended with {self._process.returncode}: {output}")
        return figures(output, self._rows)


def figures(output: str, rows: int) -> Measured:
    """Read what the script printed at wrk's end. Raises NotMeasurable if it did not get so far."""
    line = next((line for line in output.splitlines() if line.startswith(_MARK)), None)
    if line is None:
        raise NotMeasurable(f"wrk printed no figures: {output}")
    found = json.loads(line.removeprefix(_MARK))
    unanswered = found["unanswered"]
    return Measured(
        requests=found["requests"] + unanswered,
        seconds=found["microseconds"] / 1e6,
        errors=found["refused"] + unanswered,
        unanswered=unanswered,
        latencies=Latencies(p50=found["p50"] / 1000, p99=found["p99"] / 1000),
        rows=rows,
    )
