"""Ask other services questions off the request path, so that no page waits for an answer."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from mlstack.errors import MlstackError

T = TypeVar("T")

log = logging.getLogger(__name__)

SECONDS = 10.0
"""Time between two questions."""

_LATE_SECONDS = 3 * SECONDS


def attempt(step: Callable[[], None], failed: Callable[[str], None], name: str) -> None:
    """Do a step of a thread, which an error must not end; tell `failed` why it failed."""
    try:
        step()
    except MlstackError as error:
        failed(str(error))
    except Exception as error:
        log.exception("%s failed; trying again", name)
        failed(f"{type(error).__name__}: the service's log has the details")


class Watch(Generic[T]):
    """Asks one question over and over, in a thread of its own.

    A service that hangs holds up its own thread only. `name` is the thread's.
    """

    def __init__(self, name: str, ask: Callable[[], T]) -> None:
        self._name, self._ask = name, ask
        self._answer: T | None = None
        self._fault = "the first answer is still awaited"
        self._at = time.monotonic()

    def start(self, stopping: threading.Event) -> None:
        """Start to ask, until the event is set."""
        # A daemon, because a question that hangs must not delay the end of the process.
        threading.Thread(target=self._repeat, args=[stopping], name=self._name, daemon=True).start()

    def read(self) -> tuple[T | None, str]:
        """Return the last answer, and why it is not up to date; empty if it is."""
        silent = time.monotonic() - self._at
        if silent > _LATE_SECONDS:
            return self._answer, f"no answer for {silent:.0f} s"
        return self._answer, self._fault

    def _repeat(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            attempt(self._renew, self._failed, self._name)
            self._at = time.monotonic()
            stopping.wait(SECONDS)

    def _renew(self) -> None:
        self._answer, self._fault = self._ask(), ""

    def _failed(self, reason: str) -> None:
        self._fault = reason
