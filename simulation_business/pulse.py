"""A simulator's pulse: its heartbeat file, the order to stop, and waits that respect both.

`python -m simulation_business.pulse NAME` ends with 0 while the simulator of that name turns:
a container's health check.
"""

import logging
import math
import os
import random
import sys
import threading
import time
from pathlib import Path

from mlstack.errors import MlstackError
from mlstack.files import write_atomically
from mlstack.settings import Settings

log = logging.getLogger(__name__)

STALE_SECONDS = 90.0
"""A simulator whose file is older is stuck. The longest call to a server takes a third of it."""

_BEAT_SECONDS = 5.0
_REPORT_SECONDS = 60.0
_NEWS_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 0.2
_LAST_RETRY_SECONDS = 10.0


class Pulse:
    """What a simulator's loop beats and waits by.

    Args:
        path: The heartbeat file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stop = threading.Event()
        self._ordered = False
        self._written = -_BEAT_SECONDS

    @property
    def stopping(self) -> bool:
        """Whether the order to stop was given."""
        return self._stop.is_set()

    def order_stop(self) -> None:
        """Gives the order to stop, every wait ends; may be called from a signal handler."""
        if self._ordered:
            return  # a second signal, perhaps while the first one's handler is still at it
        self._ordered = True
        self._stop.set()

    def beat(self) -> None:
        """Renews the heartbeat file, when it is time to."""
        now = time.monotonic()
        if now - self._written < _BEAT_SECONDS:
            return
        self._written = now
        try:
            write_atomically(self._path, f"{time.time():.0f}\n".encode())
        except OSError as error:
            # A full disk, say: the old file turns stale, which is what it is for.
            log.warning("the heartbeat cannot be written: %s", error)

    def wait(self, seconds: float) -> bool:
        """Waits, beating; returns whether the order to stop was given."""
        deadline = time.monotonic() + seconds
        while True:
            self.beat()
            left = deadline - time.monotonic()
            if self._stop.wait(max(0.0, min(left, _BEAT_SECONDS))):
                return True
            if left <= _BEAT_SECONDS:
                return False

    def end(self) -> None:
        """The simulator ends in order: it is not stuck."""
        self._path.unlink(missing_ok=True)


class Unavailable(MlstackError):
    """A server that has not answered for as long as we wanted to wait."""


class Patience:
    """Waits between tries that grow, with jitter; says what fails at once, then once a minute.

    Args:
        pulse: Ends waits.
        what: What is being tried, as in 'what: error; trying again'.
        give_up_seconds: How long it may fail without a success; infinite: until the order
            to stop.
    """

    def __init__(self, pulse: Pulse, what: str, give_up_seconds: float) -> None:
        self._pulse, self._what, self._give_up = pulse, what, give_up_seconds
        self._longest = _FIRST_RETRY_SECONDS
        self._since: float | None = None
        self._said_at = -math.inf
        self._open = False

    def again(self, fault: object, at_least: float = 0.0) -> bool:
        """Waits after a failure.

        Args:
            fault: What went wrong.
            at_least: Seconds that the server asked for.

        Returns:
            True: try again; False: the order to stop was given.

        Raises:
            Unavailable: it has failed for too long.
        """
        now = time.monotonic()
        # What fails, works and fails again is the same news for a while.
        if now - self._said_at >= (_REPORT_SECONDS if self._open else _NEWS_SECONDS):
            log.warning("%s: %s; trying again", self._what, fault)
            self._said_at, self._open = now, True
        self._since = now if self._since is None else self._since
        if now - self._since > self._give_up:
            raise Unavailable(f"{self._what} failed for {self._give_up:g} s: {fault}")
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, no secret
        seconds = max(at_least, self._longest * jitter)
        self._longest = min(2 * self._longest, _LAST_RETRY_SECONDS)
        return not self._pulse.wait(seconds)

    def succeeded(self) -> None:
        """Starts anew after a success."""
        if self._open:
            log.info("%s: works again", self._what)
        self._open, self._since, self._longest = False, None, _FIRST_RETRY_SECONDS


def heartbeat_path(settings: Settings, name: str) -> Path:
    """The heartbeat file of this machine's, or container's, simulator of a name."""
    return settings.state_path / "simulation" / f"heartbeat-{name}-{os.uname().nodename}"


def is_fresh(path: Path) -> bool:
    """Whether a heartbeat file was renewed lately."""
    try:
        return time.time() - path.stat().st_mtime < STALE_SECONDS
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_fresh(heartbeat_path(Settings.load(), sys.argv[1])) else 1)
