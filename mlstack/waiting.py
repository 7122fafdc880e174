"""Stop requests, retries with backoff, and polling with a deadline."""

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
    """A stop request came before the work was done; not an error, like cancellation."""


class Unavailable(MlstackError):
    """An operation did not succeed within its time limit."""


class RetryLater(MlstackError):
    """Asks a `Retry` to call again, after at least `after` seconds.

    A `quiet` failure is not logged.
    """

    def __init__(self, reason: object, after: float = 0.0, *, quiet: bool = False) -> None:
        self.after, self.quiet = after, quiet
        super().__init__(str(reason))


class Stop:
    """A stop request: waits end at once, running work has `grace` seconds to finish.

    `beat` is called before each wait and every few seconds during it, to show that a waiting thread
    is alive.
    """

    def __init__(self, grace: float = 0.0, beat: Callable[[], None] = lambda: None) -> None:
        self.beat = beat
        self._grace, self._deadline = grace, math.inf
        self._event = threading.Event()

    def request(self) -> None:
        """Request the stop.

        Safe in a signal handler, as long as the interrupted main thread does not wait on this
        object.
        """
        if self._deadline < math.inf:
            return  # a second signal, perhaps while the first one's handler runs
        self._deadline = time.monotonic() + self._grace
        self._event.set()

    @property
    def requested(self) -> bool:
        """Whether the stop was requested."""
        return self._event.is_set()

    @property
    def overdue(self) -> bool:
        """Whether the grace period is over."""
        return time.monotonic() > self._deadline

    @property
    def remaining(self) -> float:
        """Remaining seconds of the grace period."""
        return max(0.0, self._deadline - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Wait for a time or until the stop request; return whether it was made."""
        deadline = time.monotonic() + seconds
        while True:
            self.beat()
            left = deadline - time.monotonic()
            if self._event.wait(max(0.0, min(left, _BEAT_SECONDS))):
                return True
            if left <= _BEAT_SECONDS:
                return False

    def sleep(self, seconds: float) -> None:
        """Wait; raise Stopped on a stop request."""
        if self.wait(seconds):
            raise Stopped


class Outage:
    """Logs a failure at once, then once a minute, and when it is over.

    `what` describes the operation; the log line is "what: error; trying again".
    """

    def __init__(self, log: logging.Logger, what: str) -> None:
        self.what = what
        self._log = log
        self._logged_at, self._open = -math.inf, False

    def failed(self, error: object, *, traceback: bool = False) -> None:
        """Record a failure."""
        now = time.monotonic()
        # Failures within seconds of each other are one outage.
        if now - self._logged_at >= (_REPORT_SECONDS if self._open else _NEWS_SECONDS):
            cause = error if traceback and isinstance(error, BaseException) else None
            self._log.warning("%s: %s; trying again", self.what, error, exc_info=cause)
            self._logged_at, self._open = now, True

    def succeeded(self) -> None:
        """Record a success."""
        if self._open:
            self._log.info("%s: works again", self.what)
            self._open = False


class Retry:
    """Calls functions until they succeed, with random backoff; thread-safe.

    Args:
        log: Logger for failures, see `Outage`.
        what: What is being tried.
        on: Exceptions to retry, in addition to `RetryLater`.
        stop: Ends the wait for the next attempt.
        first: Upper bound of the first wait in seconds; it doubles with every attempt.
        longest: Upper bound of every wait in seconds.
        give_up: Seconds after which a failure is final.
        defects: Retry all other exceptions too, and log them with their tracebacks.
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
        # Full jitter: clients that failed together do not retry together.
        self._backoff = wait_random_exponential(multiplier=first, max=longest, min=first / 10)
        self._retrying = Retrying(
            # Raises on a stop request; `sleep_using_event` would start one more attempt.
            sleep=(stop or Stop()).sleep,
            wait=self._wait,
            stop=stop_after_delay(give_up),
            retry=retry_if_exception(self._is_retried),
            before_sleep=self._report,
            retry_error_callback=self._give_up_on,
        )

    def __call__(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call a function until it succeeds.

        Raises Stopped on a stop request after a failure, and Unavailable after `give_up` seconds.
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
    """Run work in a thread, with SIGTERM and SIGINT as stop requests.

    Call it from the main thread, which then only handles signals: a handler that interrupts a
    thread holding the lock of an event could never set that event.

    The work must end soon after the request; its exceptions are raised here, except Stopped, after
    which the result is None. If it has not ended `abandon_after` seconds after the request, it is
    abandoned and the result is None.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.request())
    result: Future[_T | None] = Future()

    def run() -> None:
        try:
            result.set_result(work())
        except Stopped:
            result.set_result(None)
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            result.set_exception(error)

    worker = threading.Thread(target=run, name="work", daemon=True)
    worker.start()
    while worker.is_alive() and not stop.requested:
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
    """Poll until a condition returns a true value, and return that value.

    Exceptions of the condition end the wait. After `seconds` it raises Unavailable with the message
    `failure`.
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
