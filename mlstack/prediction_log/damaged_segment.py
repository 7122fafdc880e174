"""What a damaged segment still holds, and where its file goes."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.segment_file import (
    SELECT_ENTRIES,
    connect,
    database_files,
    lock_file,
)

_LEAST_BYTES = 16
"""Each entry has more bytes than these."""
_FIRST, _LAST = "SELECT min(number) FROM entry", "SELECT max(number) FROM entry"


def salvage(path: Path) -> Iterator[Entry]:
    """Read every entry of a damaged file that can still be read."""
    with suppress(sqlite3.Error), closing(connect(path)) as connection:
        # Else nothing of a file that was cut off is read.
        connection.execute("PRAGMA writable_schema=ON")
        first, last = _edge(connection, _FIRST), _edge(connection, _LAST)
        # A damaged number may be any.
        most = sum(f.stat().st_size for f in database_files(path) if f.exists()) // _LEAST_BYTES
        begin = first or max(1, (last or 1) - most)
        for number in range(begin, min(last or begin + most, begin + most) + 1):
            try:
                row = connection.execute(f"{SELECT_ENTRIES} WHERE number = ?", (number,)).fetchone()
            except sqlite3.Error:
                continue  # it stays in the file, which goes to quarantine
            if row is not None:
                yield Entry.of_row(*row)


def move_damaged(path: Path, folder: Path) -> None:
    """Move a damaged file and its companions to another folder. May raise OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    # The file itself last: until then the move is made again.
    for file in reversed(database_files(path)):
        if file.exists():
            file.replace(folder / file.name)
    lock_file(path).unlink(missing_ok=True)


def _edge(connection: sqlite3.Connection, query: str) -> int | None:
    try:
        found = connection.execute(query).fetchone()
    except sqlite3.Error:
        return None  # the first or last page is lost
    return int(found[0]) if found[0] is not None else None
