"""The spool of a server: what was answered is here until the keeper has stored it.

Only this process writes its open segment; the keeper takes the closed ones.
"""

import logging
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mlstack.prediction_log.segment import Segment, SpoolError
from mlstack.waiting import Outage

log = logging.getLogger(__name__)

SYNC_SECONDS = 0.1
"""Maximum time that an entry is only in the kernel's memory."""

_LEAST_FREE_BYTES = 256 * 1024 * 1024
_LEAST_FREE_SHARE = 0.05

_SEGMENT_SECONDS = 0.5
_SEGMENT_BYTES = 16 * 1024 * 1024


class Spool:
    """This process's open segment, and the thread that syncs and closes it; thread-safe.

    A power failure loses at most the entries of the last `SYNC_SECONDS`. The last 256 MiB of a
    disk (of a small one, the last twentieth) are left to others: a full disk stops databases too.
    Raises SpoolError if no segment can be created.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source = folder, source
        self._segment = Segment.create(folder, source)
        self._since = 0.0
        self._closed: Path | None = None
        self._full = _fullness(folder)
        self._lock = threading.Lock()
        self._unsynced, self._stopping = threading.Event(), threading.Event()
        self._outage = Outage(log, f"syncing the spool in {folder}")
        # Closing moves the write-ahead log into the file: longer than a sync may wait.
        self._closer = ThreadPoolExecutor(1, thread_name_prefix="close spool")
        self._thread = threading.Thread(target=self._run, name="sync spool", daemon=True)
        self._thread.start()

    def append(self, kind: str, bodies: Sequence[bytes]) -> None:
        """Write entries, all or none; afterwards no kill can lose them.

        Raises SpoolError if they cannot be written, for example because the disk is nearly full.
        """
        if self._full:
            raise SpoolError(self._full)
        with self._lock:
            if not self._segment.pending:
                self._since = time.monotonic()
            self._segment.append(kind, bodies)
        self._unsynced.set()

    def close(self) -> None:
        """Close the last segment; the keeper takes it."""
        self._stopping.set()
        self._thread.join()
        self._closer.submit(_close, self._segment)
        self._closer.shutdown()

    def _run(self) -> None:
        while not self._stopping.wait(SYNC_SECONDS / 2):
            try:
                self._full = _fullness(self._folder)
                if self._unsynced.is_set():
                    self._unsynced.clear()
                    self._segment.sync()
                if self._is_due():
                    self._begin_segment()
            except (OSError, SpoolError) as error:
                # Perhaps the disk is full: `append` reports it, and this is tried again.
                self._unsynced.set()
                self._outage.failed(error)
            else:
                self._outage.succeeded()

    def _is_due(self) -> bool:
        """Whether to close the segment: soon or, if nobody took the last one, once it is large."""
        if not self._segment.pending or time.monotonic() < self._since + _SEGMENT_SECONDS:
            return False
        taken = self._closed is None or not self._closed.exists()
        return taken or self._segment.size > _SEGMENT_BYTES

    def _begin_segment(self) -> None:
        new = Segment.create(self._folder, self._source)
        with self._lock:
            old, self._segment = self._segment, new
        self._closed = old.path
        self._closer.submit(_close, old)


def _fullness(folder: Path) -> str:
    """Return why nothing may be written to the disk any more; empty if there is space."""
    disk = shutil.disk_usage(folder)
    least = min(_LEAST_FREE_BYTES, int(disk.total * _LEAST_FREE_SHARE))
    if disk.free >= least:
        return ""
    free, least_free = (f"{size / 1024**2:,.0f} MiB" for size in (disk.free, least))
    return f"the disk of {folder} has {free} left, and the last {least_free} are not used"


def _close(segment: Segment) -> None:
    try:
        segment.sync()
        segment.close()
    except (OSError, SpoolError):
        # Its entries are in the file; the keeper takes it all the same.
        log.exception("the segment %s was not closed cleanly", segment.path)
