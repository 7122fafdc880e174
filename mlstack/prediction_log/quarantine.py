"""Quarantine: entries of the spool that can never be stored, each with its reason.

Entries are in one SQLite file. A damaged spool file is kept whole beside it, with an entry of the
kind "file" that names it.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlstack.errors import MlstackError
from mlstack.prediction_log.damaged_segment import move_damaged
from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.segment import Segment
from mlstack.prediction_log.segment_file import SUFFIX, source_of

FILE = "file"
"""Kind of the entry that stands for a damaged spool file."""

REPLAY = "replay"
"""Source of the spool's segments that hold replayed entries."""

DATABASE = "entries.db"

_REASON_CHARACTERS = 500
_SCHEMA = """
CREATE TABLE IF NOT EXISTS quarantine (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    body BLOB NOT NULL,
    written_at REAL NOT NULL,
    found_at REAL NOT NULL
)
"""


class QuarantineError(MlstackError):
    """The quarantine cannot be used, or has no such entry."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """An entry that can never be stored, and why."""

    entry: Entry
    reason: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry in quarantine; `body` is what was spooled, or the name of a damaged file.

    Both times are in epoch seconds.
    """

    id: str
    kind: str
    source: str
    reason: str
    body: bytes
    written_at: float
    found_at: float


class Quarantine:
    """The quarantine of a state folder. Every call may raise QuarantineError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, rejected: Sequence[Rejected], source: str) -> None:
        """Add entries, all or none; one that is there already is not added again."""
        now = datetime.now(UTC).timestamp()
        rows = [
            (
                *(_id(r.entry), r.entry.kind, source, r.reason[:_REASON_CHARACTERS]),
                *(r.entry.body, r.entry.written_at, now),
            )
            for r in rejected
        ]
        with self._database() as database:
            database.executemany(
                "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?, ?, ?)", rows
            )

    def add_file(self, path: Path, reason: str) -> None:
        """Take a damaged spool file out of the spool."""
        entry = Entry(0, FILE, path.name.encode(), path.stat().st_mtime)
        # Named first: a file without a name in the list would be forgotten.
        self.add([Rejected(entry, reason)], source_of(path))
        try:
            move_damaged(path, self.folder)
        except OSError as error:
            raise QuarantineError(f"{path} cannot be moved to {self.folder}: {error}") from error

    def count(self) -> int:
        """Count the entries."""
        if not self._path.exists():
            return 0
        with self._database() as database:
            return int(database.execute("SELECT count(*) FROM quarantine").fetchone()[0])

    def entries(self) -> list[Quarantined]:
        """Return all entries, oldest first."""
        if not self._path.exists():
            return []
        with self._database() as database:
            rows = database.execute("SELECT * FROM quarantine ORDER BY found_at, id")
            return [Quarantined(*row) for row in rows]

    def replay(self, entries: Sequence[Quarantined], spool: Path) -> None:
        """Put entries back into the spool; those that still cannot be stored return.

        A kill in the middle may leave an entry in both places: replay it again.
        """
        for entry in entries:
            if entry.kind == FILE:
                move_damaged(self.folder / entry.body.decode(), spool)
        segment = Segment.create(spool, REPLAY)
        try:
            for entry in entries:
                if entry.kind != FILE:
                    segment.append(entry.kind, [entry.body])
            segment.sync()
        finally:
            segment.close()
        self._remove(entries)

    def remove_before(self, limit: datetime) -> int:
        """Remove entries that were found before a time; return how many."""
        old = [entry for entry in self.entries() if entry.found_at < limit.timestamp()]
        for entry in old:
            if entry.kind == FILE:
                for file in self.folder.glob(f"{entry.body.decode()}*"):
                    file.unlink()
        if old:
            self._remove(old)
        return len(old)

    def copy(self) -> bytes:
        """Return the database as the bytes of one file."""
        with self._database() as database:
            return database.serialize()

    def damaged_files(self) -> list[Path]:
        """List the damaged spool files, with their companions."""
        return sorted(self.folder.glob(f"*{SUFFIX}*"))

    def _remove(self, entries: Sequence[Quarantined]) -> None:
        with self._database() as database:
            database.executemany("DELETE FROM quarantine WHERE id = ?", [(e.id,) for e in entries])

    @property
    def _path(self) -> Path:
        return self.folder / DATABASE

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        """Open the database for one transaction, durable when the block ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=30)) as database:
                database.execute("PRAGMA synchronous=FULL")
                database.execute(_SCHEMA)
                with database:
                    yield database
        except (sqlite3.Error, OSError) as error:
            raise QuarantineError(
                f"the quarantine {self._path} cannot be used: {error}. If it is damaged, restore "
                "it or move it away"
            ) from error


def _id(entry: Entry) -> str:
    """Name an entry by its content, so that it is in quarantine once."""
    return hashlib.sha256(f"{entry.kind}\n".encode() + entry.body).hexdigest()[:16]
