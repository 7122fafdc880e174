"""The heartbeat file: proof that the server's loops turn.

`python -m server.stream.heartbeat` ends with 0 when they do: a container's health check.
"""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlstack.files import write_atomically
from mlstack.settings import Settings

STUCK_SECONDS = 60.0
"""A loop that has not turned for so long is stuck. The longest call takes half of it."""

_WRITE_SECONDS = 1.0
# The loop that writes the file makes such calls itself, and may wait for another thread's.
_STALE_SECONDS = STUCK_SECONDS


class Heartbeat:
    """Writes the file for as long as every thread at work gives its sign.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: dict[int, float] = {}
        self._lock = threading.Lock()
        self._written = 0.0

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """From now on this thread has to `beat`, until the block ends."""
        me = threading.get_ident()
        with self._lock:
            self._seen[me] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._seen[me]

    def beat(self) -> None:
        """This thread's sign: it is not stuck, be it that it waits for something."""
        me = threading.get_ident()
        with self._lock:
            if me in self._seen:
                self._seen[me] = time.monotonic()

    def write(self) -> None:
        """Renews the file, unless a thread is stuck; called by the loop that oversees them."""
        now = time.monotonic()
        with self._lock:
            stuck = any(now - seen > STUCK_SECONDS for seen in self._seen.values())
        if not stuck and now - self._written >= _WRITE_SECONDS:
            self._written = now
            try:
                write_atomically(self._path, f"{time.time():.0f}\n".encode())
            except OSError:
                # A full disk, say: the old file turns stale, which is what it is for.
                self._written = 0.0

    def remove(self) -> None:
        """The server ends in order."""
        self._path.unlink(missing_ok=True)


def heartbeat_path(settings: Settings) -> Path:
    """The file of this machine's, or container's, stream server."""
    name = f"heartbeat-{os.uname().nodename}-{settings.stream_metrics_port}"
    return settings.state_path / "stream" / name


def is_fresh(path: Path) -> bool:
    """Whether the file was renewed lately."""
    try:
        return time.time() - path.stat().st_mtime < _STALE_SECONDS
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(0 if is_fresh(heartbeat_path(Settings.load())) else 1)
