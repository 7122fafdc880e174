"""The files of a segment: an SQLite database with its companions, and a lock."""

import sqlite3
from pathlib import Path
from typing import Final

SUFFIX: Final = ".spool"

SELECT_ENTRIES: Final = "SELECT number, kind, body, written_at FROM entry"
"""Each row makes an entry, by `Entry.of_row`."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a segment's database, and create it if it is missing. May raise sqlite3.Error."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    # Text that is no UTF-8 is a damaged entry, and must not keep others from being read.
    connection.text_factory = lambda raw: raw.decode(errors="replace")
    return connection


def database_files(path: Path) -> list[Path]:
    """Name the database, its write-ahead log and its shared memory, which need not exist."""
    return [path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm")]


def lock_file(path: Path) -> Path:
    """Name the file that a segment's owner has locked."""
    return path.with_suffix(".lock")


def source_of(path: Path) -> str:
    """Return who wrote a segment: a server, or quarantine's replay."""
    return path.name.partition("-")[0]
