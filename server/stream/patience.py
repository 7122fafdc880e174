"""How long things may take: the order to stop, and the waits between tries."""

import logging
import math
import random
import threading
import time
from collections.abc import Iterator

_REPORT_SECONDS = 60.0


class Stop:
    """The order to stop. What is under way may still end within a grace; waits end at once.

    Args:
        grace: Seconds.
    """

    def __init__(self, grace: float) -> None:
        self._grace, self._deadline = grace, math.inf
        self._event = threading.Event()

    def order(self) -> None:
        """Gives the order; may be called from a signal handler of the main thread."""
        if self._deadline < math.inf:
            return  # a second signal, perhaps while the first one's handler is still at it
        self._deadline = time.monotonic() + self._grace
        self._event.set()

    @property
    def ordered(self) -> bool:
        """Whether the order was given."""
        return self._event.is_set()

    @property
    def overdue(self) -> bool:
        """Whether the grace is over."""
        return time.monotonic() > self._deadline

    @property
    def remaining(self) -> float:
        """Seconds of grace that are left."""
        return max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Waits; returns whether the order was given."""
        return self._event.wait(seconds)


class Backoff:
    """Growing waits with full jitter, so that many who failed together do not return together.

    Args:
        first: Longest first wait, seconds; each next one may be twice as long.
        longest: Longest of all.
    """

    def __init__(self, first: float, longest: float) -> None:
        self._first, self._longest = first, longest
        self._waits = self._grow()

    def reset(self) -> None:
        """Starts anew after a success."""
        self._waits = self._grow()

    def next(self) -> float:
        """Seconds to wait before the next try."""
        return next(self._waits)

    def _grow(self) -> Iterator[float]:
        most = self._first
        while True:
            yield random.uniform(most / 10, most)  # noqa: S311 - spreads retries, no secret
            most = min(2 * most, self._longest)


class Complaint:
    """Says at once that something fails, then once a minute, and when it is over.

    Args:
        log: Where.
        what: What is being tried, as in 'what: error; trying again'.
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self._log, self._what = log, what
        self._said: float | None = None

    def failed(self, error: Exception) -> None:
        """Notes a failure."""
        now = time.monotonic()
        if self._said is None or now - self._said > _REPORT_SECONDS:
            self._log.warning("%s: %s; trying again until it works", self._what, error)
            self._said = now

    def succeeded(self) -> None:
        """Notes a success."""
        if self._said is not None:
            self._log.info("%s: works again", self._what)
            self._said = None
