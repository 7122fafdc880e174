"""Waits end on the stop request; what fails is retried, and reported without flooding the log."""

import logging
import signal
import threading
import time

import pytest

from mlstack.waiting import (
    Outage,
    Retry,
    RetryLater,
    Stop,
    Stopped,
    Unavailable,
    run_until_stopped,
    wait_until,
)

log = logging.getLogger(__name__)


def _messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


class Flaky:
    """Fails as often as it is told to."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def __call__(self) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_stop_ends_wait_at_once() -> None:
    """The stop request ends a wait that is under way."""
    stop = Stop()
    timer = threading.Timer(0.05, stop.request)
    timer.start()
    began = time.monotonic()
    assert stop.wait(60) is True
    assert time.monotonic() - began < 5
    timer.join()


def test_stop_grace_begins_with_first_order() -> None:
    """A second order does not prolong the grace period."""
    stop = Stop(grace=0.05)
    overdue = stop.overdue
    assert not overdue
    stop.request()
    assert stop.requested
    while not stop.overdue:
        stop.request()
    assert stop.remaining == 0


def test_stop_wait_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits shows again and again that it is alive."""
    monkeypatch.setattr("mlstack.waiting._BEAT_SECONDS", 0.01)
    beats: list[float] = []
    assert Stop(beat=lambda: beats.append(time.monotonic())).wait(0.1) is False
    assert len(beats) > 2


def test_retry_returns_first_success(caplog: pytest.LogCaptureFixture) -> None:
    """Failures are retried; the log has the first one and the recovery."""
    caplog.set_level("INFO")
    retry = Retry(log, "asking", OSError, first=0.01)
    assert retry(Flaky(OSError("no answer"), OSError("no answer"), RetryLater("busy"))) == "done"
    assert retry(Flaky()) == "done"
    assert _messages(caplog) == ["asking: no answer; trying again", "asking: works again"]


def test_retry_raises_other_exceptions() -> None:
    """An exception that is not named is raised at once."""
    with pytest.raises(ValueError, match="odd"):
        Retry(log, "asking", OSError)(Flaky(ValueError("odd")))


def test_retry_logs_defects_with_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """On request every exception is retried, and the unexpected ones show where they came from."""
    retry = Retry(log, "asking", OSError, first=0.01, defects=True)
    assert retry(Flaky(ValueError("odd"))) == "done"
    assert "ValueError: odd" in caplog.text


def test_retry_waits_as_long_as_asked() -> None:
    """The wait is at least the one that the exception asks for."""
    began = time.monotonic()
    assert Retry(log, "asking", first=0.01)(Flaky(RetryLater("busy", after=0.2))) == "done"
    assert time.monotonic() - began >= 0.2


def test_retry_quiet_failure_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Everyday failures are retried without a line in the log."""
    Retry(log, "asking", first=0.01)(Flaky(RetryLater("throttled", quiet=True)))
    assert _messages(caplog) == []


def test_retry_stops_on_order() -> None:
    """After the stop request no further attempt is made, even for defects."""
    stop = Stop()
    stop.request()
    function = Flaky(OSError("first"), OSError("second"))
    with pytest.raises(Stopped):
        Retry(log, "asking", OSError, stop=stop)(function)
    assert len(function.errors) == 1
    with pytest.raises(Stopped):
        Retry(log, "asking", defects=True)(Flaky(Stopped()))


def test_retry_gives_up() -> None:
    """A failure is final when it lasts for too long."""
    retry = Retry(log, "asking", OSError, first=0.01, longest=0.01, give_up=0.05)
    with pytest.raises(Unavailable, match=r"asking failed for 0\.05 s: no answer"):
        retry(Flaky(*[OSError("no answer")] * 1000))


def test_outage_that_flaps_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """What fails, works and fails again within seconds is one outage."""
    caplog.set_level("INFO")
    outage = Outage(log, "asking")
    for _ in range(3):
        outage.failed("no answer")
        outage.failed("no answer")
        outage.succeeded()
    assert _messages(caplog) == ["asking: no answer; trying again", "asking: works again"]


def test_wait_until_returns_what_it_found() -> None:
    """The first true value ends the wait and is returned."""
    values = iter(["", "", "found"])
    assert wait_until(lambda: next(values), "nothing found", 5, every=0.01) == "found"


def test_wait_until_says_what_is_wrong() -> None:
    """The error says what was wrong at the end, and how long it was waited for."""
    with pytest.raises(Unavailable, match=r"^port 1 is taken \(waited 0\.05 s\)$"):
        wait_until(lambda: False, lambda: "port 1 is taken", 0.05, every=0.01)


def test_wait_until_lets_errors_through() -> None:
    """A condition may end the wait with an exception."""
    with pytest.raises(OSError, match="gone"):
        wait_until(Flaky(OSError("gone")), "nothing found", 5)


def test_stop_before_work_is_done_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work that a stop request interrupts ends like work that was finished."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    stop = Stop()

    def wait() -> None:
        stop.request()
        stop.sleep(60)

    assert run_until_stopped(wait, stop) is None
