"""Look into a segment that another process may be using."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlstack.prediction_log.entry import epoch_seconds
from mlstack.prediction_log.segment_file import source_of

BACKLOG = """
SELECT last.number - first.number + 1, first.written_at
FROM (SELECT number, written_at FROM entry ORDER BY number LIMIT 1) AS first,
     (SELECT number FROM entry ORDER BY number DESC LIMIT 1) AS last
"""
"""Entries are numbered without gaps, so this needs no scan."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """Entries that are not stored; `oldest_at` (epoch seconds) is None if there are none."""

    records: int
    oldest_at: float | None


def backlog(path: Path) -> Backlog:
    """Count a segment's entries. What cannot be read now counts as empty."""
    rows = list(_look(path, BACKLOG))
    return Backlog(rows[0][0], epoch_seconds(rows[0][1])) if rows else Backlog(0, None)


def backlogs(paths: Iterable[Path]) -> dict[str, Backlog]:
    """Sum up the entries of segments, by source."""
    found: dict[str, Backlog] = {}
    for path in paths:
        here = backlog(path)
        before = found.get(source_of(path), Backlog(0, None))
        times = [at for at in (before.oldest_at, here.oldest_at) if at is not None]
        found[source_of(path)] = Backlog(before.records + here.records, min(times, default=None))
    return found


def bodies_with(path: Path, kind: str, text: bytes) -> Iterator[bytes]:
    """Yield the bodies of a kind that have a text. What cannot be read now counts as absent."""
    rows = _look(path, "SELECT body FROM entry WHERE kind = ? AND instr(body, ?)", kind, text)
    return (body for (body,) in rows if isinstance(body, bytes))


def _look(path: Path, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
    # Removed at this moment, or damaged: whoever takes the segment reports that.
    with suppress(sqlite3.Error):
        address = f"{path.resolve().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as connection:
            yield from connection.execute(query, values)
