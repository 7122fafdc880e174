"""A server of the comparison: started, asked, measured and stopped."""

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.serving.results import NotMeasurable
from mlstack.settings import ROOT
from tests.support.api_server import Answer, send

_START_SECONDS = 120.0
_STOP_SECONDS = 40.0
_POLL_SECONDS = 0.02
_HEADERS = [("Content-Type", "application/json")]


class ServerProcess:
    """A running server with all of its processes; the context manager ends them."""

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], port: int, log: Path
    ) -> None:
        self._command, self._environment, self._log = command, environment, log
        self.port = port

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        return self

    def __exit__(self, *_: object) -> None:
        processes = self._tree()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # Some peers leave workers behind.
        for process in processes:
            if process.is_running():
                process.kill()
        psutil.wait_procs(processes, _STOP_SECONDS)

    def seconds_to_first_answer(self, path: str, body: bytes) -> float:
        """Ask until it answers with success; return the time since its start."""
        while time.monotonic() - self._begun < _START_SECONDS:
            if self._process.poll() is not None:
                raise NotMeasurable(f"it ended with {self._process.returncode}{self._last_words()}")
            try:
                if self.ask(path, body).status == 200:  # noqa: PLR2004 - HTTP's OK
                    return time.monotonic() - self._begun
            except (OSError, HTTPException):
                pass
            time.sleep(_POLL_SECONDS)
        raise NotMeasurable(f"no answer within {_START_SECONDS:g} s{self._last_words()}")

    def ask(self, path: str, body: bytes) -> Answer:
        """Send one request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            return send(connection, "POST", path, body, _HEADERS)
        finally:
            connection.close()

    def cpu_seconds(self) -> float:
        """Return the CPU time of all its processes so far."""
        return sum(cpu_seconds(process) for process in self._tree())

    def pss_mib(self) -> float:
        """Return the memory of all its processes; shared pages are counted once."""
        return sum(_pss(process) for process in self._tree()) / 2**20

    def _tree(self) -> list[psutil.Process]:
        try:
            main = psutil.Process(self._process.pid)
            return [main, *main.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""


def cpu_seconds(process: psutil.Process) -> float:
    """Return the CPU time of a process, without its children; 0 if it is gone."""
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _pss(process: psutil.Process) -> int:
    try:
        full: Any = process.memory_full_info()
    except psutil.NoSuchProcess:
        return 0
    # Only Linux tells which pages are shared.
    return int(getattr(full, "pss", full.rss))
