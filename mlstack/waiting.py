"""Waiting and retrying: the order to stop, retries with backoff, polling with a deadline."""

import logging
import math
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    retry_if_not_result,
    stop_after_delay,
    wait_fixed,
    wait_random_exponential,
)

from mlstack.errors import MlstackError

_P = ParamSpec("_P")
_T = TypeVar("_T")

_LOOK_SECONDS = 0.2
_BEAT_SECONDS = 5.0
_REPORT_SECONDS = 60.0
_NEWS_SECONDS = 5.0


class Stopped(Exception):
    """The order to stop came before the work was done; like a cancellation, it is no error."""


class Unavailable(MlstackError):
    """Something did not work for as long as we wanted to wait."""


class RetryLater(MlstackError):
    """Asks a `Retry` to call again.

    Args:
        reason: Why.
        after: The least wait, seconds.
        quiet: Not worth a line in the log.
    """

    def __init__(self, reason: object, after: float = 0.0, *, quiet: bool = False) -> None:
        self.after, self.quiet = after, quiet
        super().__init__(str(reason))


class Stop:
    """The order to stop: work in hand may finish within a grace period, waits end at once.

    Args:
        grace: Seconds.
        beat: Called before each wait and every few seconds of it: a thread that waits is alive.
    """

    def __init__(self, grace: float = 0.0, beat: Callable[[], None] = lambda: None) -> None:
        self.beat = beat
        self._grace, self._deadline = grace, math.inf
        self._event = threading.Event()

    def order(self) -> None:
        """Give the order; safe in a signal handler of a main thread that waits for nothing here."""
        if self._deadline < math.inf:
            return  # a second signal, perhaps while the handler of the first one still runs
        self._deadline = time.monotonic() + self._grace
        self._event.set()

    @property
    def ordered(self) -> bool:
        """Whether the order was given."""
        return self._event.is_set()

    @property
    def overdue(self) -> bool:
        """Whether the grace period is over."""
        return time.monotonic() > self._deadline

    @property
    def remaining(self) -> float:
        """Seconds left of the grace period."""
        return max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Wait, or until the order; return whether it was given."""
        deadline = time.monotonic() + seconds
        while True:
            self.beat()
            left = deadline - time.monotonic()
            if self._event.wait(max(0.0, min(left, _BEAT_SECONDS))):
                return True
            if left <= _BEAT_SECONDS:
                return False

    def sleep(self, seconds: float) -> None:
        """Wait. Raises Stopped on the order to stop."""
        if self.wait(seconds):
            raise Stopped


class Outage:
    """Logs that something fails: at once, then once a minute, and when it works again.

    Args:
        log: The logger.
        what: What is being tried, as in "what: error; trying again".
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self.what = what
        self._log = log
        self._logged_at, self._open = -math.inf, False

    def failed(self, error: object, *, traceback: bool = False) -> None:
        """Note a failure."""
        now = time.monotonic()
        # What fails, works and fails again within seconds is one outage.
        if now - self._logged_at >= (_REPORT_SECONDS if self._open else _NEWS_SECONDS):
            cause = error if traceback and isinstance(error, BaseException) else None
            self._log.warning("%s: %s; trying again", self.what, error, exc_info=cause)
            self._logged_at, self._open = now, True

    def succeeded(self) -> None:
        """Note a success."""
        if self._open:
            self._log.info("%s: works again", self.what)
            self._open = False


class Retry:
    """Calls functions until they succeed, with growing random waits; safe from several threads.

    Args:
        log: Where failures are logged, see `Outage`.
        what: What is being tried.
        on: Exceptions that are retried, beside `RetryLater`.
        stop: Ends the wait for the next attempt.
        first: The first wait at most, seconds; each may be twice as long as the one before.
        longest: The longest wait.
        give_up: Seconds after which a failure is final.
        defects: Retry every other exception too, and log it with its traceback.
    """

    def __init__(
        self,
        log: logging.Logger,
        what: str,
        *on: type[Exception],
        stop: Stop | None = None,
        first: float = 0.1,
        longest: float = 5.0,
        give_up: float = math.inf,
        defects: bool = False,
    ) -> None:
        self.outage = Outage(log, what)
        self._on: tuple[type[Exception], ...] = (RetryLater, *on)
        self._defects, self._give_up = defects, give_up
        # Full jitter: clients that failed together do not come back together.
        self._backoff = wait_random_exponential(multiplier=first, max=longest, min=first / 10)
        self._retrying = Retrying(
            # Raises on the order to stop; `sleep_using_event` would begin one more attempt.
            sleep=(stop or Stop()).sleep,
            wait=self._wait,
            stop=stop_after_delay(give_up),
            retry=retry_if_exception(self._is_retried),
            before_sleep=self._report,
            retry_error_callback=self._give_up_on,
        )

    def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function until it succeeds.

        Raises:
            Stopped: the order to stop came after a failure.
            Unavailable: it failed for too long.
        """
        result = self._retrying.copy()(function, *args, **kwargs)
        self.outage.succeeded()
        return result

    def _is_retried(self, error: BaseException) -> bool:
        if isinstance(error, self._on):
            return True
        return self._defects and isinstance(error, Exception) and not isinstance(error, Stopped)

    def _wait(self, state: RetryCallState) -> float:
        error = _error(state)
        return max(self._backoff(state), error.after if isinstance(error, RetryLater) else 0.0)

    def _report(self, state: RetryCallState) -> None:
        error = _error(state)
        if not (isinstance(error, RetryLater) and error.quiet):
            self.outage.failed(error, traceback=not isinstance(error, self._on))

    def _give_up_on(self, state: RetryCallState) -> None:
        error = _error(state)
        raise Unavailable(f"{self.outage.what} failed for {self._give_up:g} s: {error}") from error


def run_until_stopped(
    work: Callable[[], _T], stop: Stop, abandon_after: float | None = None
) -> _T | None:
    """Run work in a thread; SIGTERM and SIGINT give the order to stop. For the main thread.

    The main thread only handles signals: a handler that interrupts a thread inside the lock of
    an event could never set that event.

    Args:
        work: Has to end soon after the order; what it raises is raised here.
        stop: The order to stop.
        abandon_after: Seconds after the order when work is left alone; None: never.

    Returns:
        What the work returned; None: it was abandoned.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.order())
    result: Future[_T] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            result.set_exception(error)

    worker = threading.Thread(target=run, name="work", daemon=True)
    worker.start()
    while worker.is_alive() and not stop.ordered:
        worker.join(_LOOK_SECONDS)
    worker.join(abandon_after)
    return result.result() if result.done() else None


def wait_until(
    condition: Callable[[], _T],
    failure: str | Callable[[], str],
    seconds: float,
    *,
    every: float = 0.2,
) -> _T:
    """Poll until a condition returns something true; return that.

    Args:
        condition: Exceptions that it raises end the wait.
        failure: What is wrong as long as the condition is false.
        seconds: How long to wait.
        every: Seconds between two polls.

    Raises:
        Unavailable: the time is over; says `failure`.
    """

    def fail(_: RetryCallState) -> None:
        said = failure if isinstance(failure, str) else failure()
        raise Unavailable(f"{said} (waited {seconds:g} s)")

    return Retrying(
        wait=wait_fixed(every),
        stop=stop_after_delay(seconds),
        retry=retry_if_not_result(bool),
        retry_error_callback=fail,
    )(condition)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
