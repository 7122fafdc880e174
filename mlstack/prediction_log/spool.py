"""The local spool: its entries survive the kill of any process.

A spool is one SQLite file of one process. A write reaches the kernel before it returns and is
synced to disk within `SYNC_SECONDS`: a SIGKILL loses nothing, a power failure at most the entries
of those seconds. SQLite's write-ahead log keeps the file intact in both cases.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from mlstack.errors import MlstackError

log = logging.getLogger(__name__)

SYNC_SECONDS = 0.1
"""Maximum time that an entry is only in the kernel's memory."""

_SUFFIX = ".spool"
_LOG_BYTES = 16 * 1024 * 1024
"""Size at which the write-ahead log is moved into the spool file."""
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


class SpoolOwnedError(SpoolError):
    """The spool belongs to a running process, or no longer exists."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry; later ones have higher numbers. `written_at` is in epoch seconds."""

    number: int
    kind: str
    body: bytes
    written_at: float


class Spool:
    """The spool of a process, protected by a file lock; thread-safe.

    A spool is `adopted` if the process that wrote it has ended; a missing file is then not created.

    Raises:
        SpoolOwnedError: it belongs to a running process, or no longer exists.
        SpoolError: it cannot be opened.
    """

    def __init__(self, path: Path, *, adopted: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        # A thread other than this one may release it.
        self._owner = FileLock(path.with_suffix(".lock"), thread_local=False)
        try:
            self._owner.acquire(timeout=0)
        except Timeout as error:
            raise SpoolOwnedError(f"the spool {path} belongs to another process") from error
        except OSError as error:
            raise SpoolError(f"the spool {path} cannot be locked: {error.strerror}") from error
        if adopted and not path.exists():
            # Its last owner has just emptied and removed it.
            self._release()
            raise SpoolOwnedError(f"the spool {path} is gone")
        try:
            self._writer, self._reader = _open(path), _open(path)
            self._writer.execute(_SCHEMA)
            self._pending = int(self._reader.execute("SELECT count(*) FROM entry").fetchone()[0])
        except sqlite3.Error as error:
            self._owner.release()
            raise SpoolError(f"the spool {path} cannot be opened: {error}") from error
        self._lock = threading.Lock()
        self._written = threading.Event()
        self._closing = threading.Event()
        self._syncing = threading.Thread(target=self._sync, name=f"sync {path.name}", daemon=True)
        self._syncing.start()

    @classmethod
    def of_this_process(cls, folder: Path, name: str) -> Self:
        """Create this process's spool, under a name that is never reused."""
        unique = f"{os.uname().nodename}-{os.getpid()}-{time.time_ns()}"
        return cls(folder / f"{name}-{unique}{_SUFFIX}")

    @staticmethod
    def paths(folder: Path) -> list[Path]:
        """List the spools in a folder; to adopt one whose process has ended, open it."""
        return sorted(folder.glob(f"*{_SUFFIX}"))

    def append(self, kind: str, bodies: Sequence[bytes]) -> None:
        """Write entries, all or none; afterwards no kill can lose them.

        Raises SpoolError if they cannot be written, for example because the disk is full.
        """
        now = time.time()
        rows = [(kind, body, now) for body in bodies]
        try:
            with self._lock:
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    self._writer.executemany(_INSERT, rows)
                    self._writer.execute("COMMIT")
                except BaseException:
                    # SQLite rolls back by itself only after some errors.
                    if self._writer.in_transaction:
                        self._writer.execute("ROLLBACK")
                    raise
                self._pending += len(rows)
        except sqlite3.Error as error:
            raise SpoolError(f"the spool cannot be written: {error}") from error
        self._written.set()

    def read(self, most: int) -> list[Entry]:
        """Read the oldest entries, at most `most`. Raises SpoolError."""
        rows = self._oldest("number, kind, body, written_at", most)
        return [Entry(*row) for row in rows]

    def remove(self, entries: Sequence[Entry]) -> None:
        """Remove stored entries: the oldest ones, as `read` returned them.

        Raises SpoolError if they could not be removed; they will be read again.
        """
        try:
            with self._lock:
                self._writer.execute("DELETE FROM entry WHERE number <= ?", (entries[-1].number,))
                self._pending -= len(entries)
        except sqlite3.Error as error:
            raise SpoolError(f"the spool cannot be written: {error}") from error

    @property
    def pending(self) -> int:
        """Number of entries."""
        return self._pending

    def oldest_at(self) -> float | None:
        """Return when the oldest entry was written (epoch seconds), or None if empty.

        Raises SpoolError if the spool cannot be read.
        """
        rows = self._oldest("written_at", 1)
        return float(rows[0][0]) if rows else None

    def _oldest(self, columns: str, most: int) -> list[Any]:
        query = f"SELECT {columns} FROM entry ORDER BY number LIMIT ?"  # noqa: S608 - constant column names
        try:
            return self._reader.execute(query, (most,)).fetchall()
        except sqlite3.Error as error:
            raise SpoolError(f"the spool {self.path} cannot be read: {error}") from error

    def wait_for_entries(self, seconds: float) -> None:
        """Wait until an entry was written since the last call, or for the given time."""
        self._written.wait(seconds)
        self._written.clear()

    def close(self) -> None:
        """Close the spool; remove its file if it is empty."""
        self._closing.set()
        self._syncing.join()
        with self._lock:
            empty = self._pending == 0
            self._reader.close()
            self._writer.close()
        if empty:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self._release()
        else:
            self._owner.release()

    def _release(self) -> None:
        # A process that waits for this lock then sees that the spool no longer exists.
        Path(self._owner.lock_file).unlink(missing_ok=True)
        self._owner.release()

    def _sync(self) -> None:
        """Sync new entries, and move a long write-ahead log into the file."""
        checkpoints = _open(self.path)
        log_path = self.path.with_name(f"{self.path.name}-wal")
        synced = -1
        try:
            while not self._closing.wait(SYNC_SECONDS / 2):
                try:
                    changed = checkpoints.execute("PRAGMA data_version").fetchone()[0]
                    if changed == synced:
                        continue
                    _sync_file(log_path)
                    synced = changed
                    if log_path.stat().st_size > _LOG_BYTES:
                        # Move most of it while others write, the rest while none does: the log is
                        # reset only when all of it was moved.
                        checkpoints.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                        with self._lock:
                            checkpoints.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                except (OSError, sqlite3.Error):
                    # Perhaps the disk is full: `append` reports it, and this is tried again.
                    log.exception("the spool %s cannot be synced", self.path)
        finally:
            checkpoints.close()


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    # NORMAL syncs only at checkpoints, which only the syncing thread makes: requests never wait for
    # the disk.
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "wal_autocheckpoint=0"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
