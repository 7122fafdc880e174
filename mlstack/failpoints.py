"""Mark places where a test may kill the process.

Does nothing unless `FAIL_POINT` was set when the process started.
"""

import os
import signal
import threading

VARIABLE = "FAIL_POINT"
"""`name` or `name:n`: kill the process when it reaches that place for the nth time."""

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count or 1)
_lock = threading.Lock()


def reached(name: str) -> None:
    """Kill the process (SIGKILL) here if a test requested it."""
    if name != _name:
        return
    global _left  # noqa: PLW0603 - a countdown of the process
    with _lock:
        _left -= 1
        if _left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
