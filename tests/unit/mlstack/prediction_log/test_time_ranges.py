"""Ranges of time cover everything once, each with about as many documents."""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mlstack.prediction_log.time_ranges import by_ranges

START = datetime(2026, 1, 1, tzinfo=UTC)
FAR = timedelta(days=36_500)


def _read(times: list[datetime], start: datetime, end: datetime) -> list[list[datetime]]:
    """Return what each range finds among sorted times."""
    found: list[list[datetime]] = []

    def read(when: Mapping[str, datetime]) -> int:
        low, high = when.get("$gte", START - FAR), when.get("$lt", START + FAR)
        found.append(times[bisect_left(times, low) : bisect_left(times, high)])
        return len(found[-1])

    assert by_ranges(start, end, read) == len(times)
    return found


def test_ranges_cover_every_time_once() -> None:
    """Those before the start and after the end, too, oldest first."""
    times = [START + timedelta(hours=hours) for hours in (-900, 0, 5, 5, 29, 30, 800)]
    found = _read(times, START, START + timedelta(hours=30))
    assert [time for some in found for time in some] == times


def test_ranges_have_about_as_many_documents() -> None:
    """Their width follows the rate, which changes from hour to hour."""
    rates = (20, 60, 10)
    times = [
        START + timedelta(hours=hour, seconds=number / rate)
        for hour, rate in enumerate(rates)
        for number in range(rate * 3600)
    ]
    found = [len(some) for some in _read(times, START, START + timedelta(hours=len(rates)))]
    assert max(found) < 4 * 10_000
    assert len(found) < 60
