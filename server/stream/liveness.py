"""Renew the stream server's heartbeat only while no thread is stuck."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlstack.heartbeat import Heartbeat

STUCK_SECONDS = 60.0
"""Time without a beat after which a thread counts as stuck. The longest call takes half of it."""


class Liveness:
    """Tracks the last beat of each working thread; thread-safe."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat
        self._seen: dict[int, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Expect this thread to call `beat` until the block ends."""
        me = threading.get_ident()
        with self._lock:
            self._seen[me] = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                del self._seen[me]

    def beat(self) -> None:
        """Show that this thread is alive, even while it waits."""
        me = threading.get_ident()
        with self._lock:
            if me in self._seen:
                self._seen[me] = time.monotonic()

    def renew(self) -> None:
        """Renew the heartbeat unless a thread is stuck; called by the main loop."""
        now = time.monotonic()
        with self._lock:
            stuck = any(now - seen > STUCK_SECONDS for seen in self._seen.values())
        if not stuck:
            self._heartbeat.beat()
