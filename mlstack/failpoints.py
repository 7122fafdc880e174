"""Places where a test may kill a process: between any two steps of keeping a promise.

Inert unless `FAIL_POINT` was in the environment when the process started.
"""

import os
import signal
import threading

VARIABLE = "FAIL_POINT"
"""`name` or `name:n`: the process is killed when it reaches that place for the nth time."""

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)
_lock = threading.Lock()


def reached(name: str) -> None:
    """Mark a place; kill the process (SIGKILL) here if a test asked for it."""
    if name != _name:
        return
    global _left  # noqa: PLW0603 - a countdown of the process
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
