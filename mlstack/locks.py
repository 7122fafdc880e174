"""Waiting for a file lock that another process holds.

Apart from `waiting`: the simulators' images have no filelock.
"""

from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from mlstack.waiting import Stop

_LOOK_SECONDS = 0.5


def wait_for_lock(path: Path, stop: Stop, held: Callable[[], object]) -> FileLock:
    """Lock a file, which other processes may hold; return the lock.

    `held` is called each time that another one holds it. Raises Stopped on a stop request.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A thread other than this one may release it.
    lock = FileLock(path, thread_local=False)
    while True:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            held()
            stop.sleep(_LOOK_SECONDS)
        else:
            return lock
