"""Divide time into ranges with about as many documents each, without counting them first."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

_DOCUMENTS = 10_000
"""Number of documents that a range should have."""

_GROWTH = 4
_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(hours=1)


def next_width(width: timedelta, found: int) -> timedelta:
    """Return the width of the next range, given how many documents the last one had."""
    factor = min(_DOCUMENTS / max(found, 1), _GROWTH)
    return min(max(width * factor, _SHORTEST), _LONGEST)


def by_ranges(start: datetime, end: datetime, read: Callable[[Mapping[str, datetime]], int]) -> int:
    """Call `read` with MongoDB conditions that cover all times, oldest first; return the sum.

    `read` returns the number of documents. The first range is all before `start`, and the last one
    all from `end` on: choose them so that few documents are there.
    """
    count = read({"$lt": start})
    since, width = start, _SHORTEST
    while since < end:
        until = min(since + width, end)
        found = read({"$gte": since, "$lt": until})
        count, since, width = count + found, until, next_width(width, found)
    return count + read({"$gte": end})
