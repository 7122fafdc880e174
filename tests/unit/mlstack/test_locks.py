"""Locks of files that another process may hold."""

from pathlib import Path

import pytest
from filelock import FileLock

from mlstack.locks import wait_for_lock
from mlstack.waiting import Stop, Stopped


def test_lock_is_taken_once_it_is_free(tmp_path: Path) -> None:
    """Each failed attempt is told; the lock is taken when its holder ends."""
    other = FileLock(tmp_path / "state" / "lock", thread_local=False)
    (tmp_path / "state").mkdir()
    other.acquire()
    told = list[bool]()

    def held() -> None:
        told.append(True)
        other.release()

    lock = wait_for_lock(tmp_path / "state" / "lock", Stop(), held)
    assert (told, lock.is_locked) == ([True], True)
    lock.release()


def test_stop_ends_wait_for_lock(tmp_path: Path) -> None:
    """A process that waits for a lock stops when it is told to."""
    stop = Stop()
    with FileLock(tmp_path / "lock"), pytest.raises(Stopped):
        wait_for_lock(tmp_path / "lock", stop, stop.request)
