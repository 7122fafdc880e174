"""A segment of the spool: one SQLite file, used by one process at a time.

Its entries survive the kill of any process: a write reaches the kernel before it returns. SQLite's
write-ahead log keeps the file intact.
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from mlstack.errors import MlstackError
from mlstack.files import sync_names
from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.segment_file import (
    SELECT_ENTRIES,
    SUFFIX,
    connect,
    database_files,
    lock_file,
)
from mlstack.prediction_log.segment_view import BACKLOG

# SQLite's codes for a file that is damaged, or no database at all.
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_INSERT = "INSERT INTO entry (kind, body, written_at) VALUES (?, ?, ?)"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    written_at REAL NOT NULL
)
"""


class SpoolError(MlstackError):
    """The spool cannot be used, so its entries must not be acknowledged."""


class SegmentInUse(SpoolError):
    """The segment belongs to a running process, or no longer exists."""


class SegmentDamaged(SpoolError):
    """Parts of the file cannot be read, now or ever."""


class Segment:
    """A segment, locked by this process; not thread-safe.

    `existing` opens a file that another process has closed or left behind, and creates none.

    Raises:
        SegmentInUse: it belongs to a running process, or no longer exists.
        SegmentDamaged: the file is no spool file, or damaged.
        SpoolError: it cannot be opened.
    """

    def __init__(self, path: Path, *, existing: bool = False) -> None:
        self.path = path
        _, self._log_path, _ = database_files(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A thread other than this one may release it.
            self._owner = FileLock(lock_file(path), thread_local=False)
            self._owner.acquire(timeout=0)
        except Timeout as error:
            raise SegmentInUse(f"the spool {path} belongs to another process") from error
        except OSError as error:
            raise SpoolError(f"the spool {path} cannot be locked: {error.strerror}") from error
        if existing and not path.exists():
            # Its last owner has just emptied and removed it.
            self._release(remove_lock=True)
            raise SegmentInUse(f"the spool {path} is gone")
        try:
            self._connection = _open(path, checkpoints=existing)
            self._connection.execute(_SCHEMA)
            found = self._connection.execute(BACKLOG).fetchone()
            self.pending = found[0] if found else 0
            """Number of entries."""
        except sqlite3.Error as error:
            if not existing:
                # The disk may be full: each attempt would leave another file.
                for file in database_files(path):
                    file.unlink(missing_ok=True)
            self._release(remove_lock=not existing)
            raise _as_spool_error(path, "opened", error) from error

    @classmethod
    def create(cls, folder: Path, source: str) -> Self:
        """Create a segment under a name that is never reused. Raises SpoolError."""
        unique = f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}"
        segment = cls(folder / f"{source}-{unique}{SUFFIX}")
        try:
            # Otherwise a power failure may undo its creation, whatever is synced into it.
            sync_names(folder)
        except OSError as error:
            segment.close()
            raise SpoolError(f"the folder {folder} cannot be synced: {error.strerror}") from error
        return segment

    @staticmethod
    def paths(folder: Path) -> list[Path]:
        """List the segments in a folder, those in use too."""
        return sorted(folder.glob(f"*{SUFFIX}"))

    def append(self, kind: str, bodies: Sequence[bytes]) -> None:
        """Write entries, all or none; afterwards no kill can lose them.

        Raises SpoolError if they cannot be written, for example because the disk is full.
        """
        now = time.time()
        write = self._connection.execute
        try:
            write("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(_INSERT, [(kind, body, now) for body in bodies])
                write("COMMIT")
            except BaseException:
                # SQLite rolls back by itself only after some errors.
                if self._connection.in_transaction:
                    write("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _as_spool_error(self.path, "written", error) from error
        self.pending += len(bodies)

    def read(self, most: int) -> list[Entry]:
        """Read the oldest entries, at most `most`. Raises SpoolError or SegmentDamaged."""
        try:
            rows = self._connection.execute(f"{SELECT_ENTRIES} ORDER BY number LIMIT ?", (most,))
            return [Entry.of_row(*row) for row in rows]
        except sqlite3.Error as error:
            raise _as_spool_error(self.path, "read", error) from error

    def check(self) -> None:
        """Raise SegmentDamaged if entries may be missing, or SpoolError if that cannot be told.

        A page that is lost in part is otherwise read as one with fewer entries.
        """
        try:
            (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            raise _as_spool_error(self.path, "checked", error) from error
        if found != "ok":
            raise SegmentDamaged(f"the spool {self.path} is damaged: {' '.join(found.split())}")

    def remove(self, entries: Sequence[Entry]) -> None:
        """Remove the oldest entries, as `read` returned them.

        Raises SpoolError if they could not be removed; they will be read again.
        """
        last = entries[-1].number
        try:
            self._connection.execute("DELETE FROM entry WHERE number <= ?", (last,))
        except sqlite3.Error as error:
            raise _as_spool_error(self.path, "written", error) from error
        self.pending -= len(entries)

    def sync(self) -> None:
        """Sync what was written to the disk. May raise OSError."""
        descriptor = os.open(self._log_path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @property
    def size(self) -> int:
        """Size of what was written, in bytes."""
        return self._log_path.stat().st_size

    def close(self) -> None:
        """Close the file, and remove it if it is empty. Raises SpoolError or OSError."""
        try:
            self._connection.close()
        except sqlite3.Error as error:
            raise _as_spool_error(self.path, "closed", error) from error
        finally:
            if self.pending == 0:
                for path in database_files(self.path):
                    path.unlink(missing_ok=True)
            self._release(remove_lock=self.pending == 0)

    def abandon(self) -> None:
        """Give the file up as it is: another process, or a later call, opens it again."""
        with suppress(sqlite3.Error):  # a damaged file may refuse to be closed
            self._connection.close()
        self._release(remove_lock=False)

    def _release(self, *, remove_lock: bool) -> None:
        if remove_lock:
            # A process that waits for this lock then sees that the segment no longer exists.
            Path(self._owner.lock_file).unlink(missing_ok=True)
        self._owner.release()


def _open(path: Path, *, checkpoints: bool) -> sqlite3.Connection:
    connection = connect(path)
    # NORMAL syncs only at checkpoints. A server makes none: its requests must not wait for the
    # disk.
    pages = 1000 if checkpoints else 0
    # Larger pages than the default: to write and close, a batch of a thousand entries costs a fifth
    # less, and one entry an eighth more.
    for pragma in (
        "page_size=8192",
        "synchronous=NORMAL",
        "journal_mode=WAL",
        f"wal_autocheckpoint={pages}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _as_spool_error(path: Path, what: str, error: sqlite3.Error) -> SpoolError:
    code = getattr(error, "sqlite_errorcode", None)
    kind = SegmentDamaged if code is not None and code & 0xFF in _DAMAGED else SpoolError
    return kind(f"the spool {path} cannot be {what}: {error}")
