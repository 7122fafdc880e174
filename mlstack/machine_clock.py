"""A clock that nobody sets, the same for every process and container of this machine.

The wall clock jumps when somebody sets it, a virtual machine resumes or a laptop wakes up; then
file times say nothing about age. This clock counts from the machine's start and, on Linux, stands
still while the machine sleeps.
"""

import time
from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """Return the id of the machine's current start; empty where the system has none."""
    return _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else ""


def stamp() -> str:
    """Return the current moment, for a file that `age_seconds` is asked about later."""
    # Exact: a rounded one could lie in the future for a moment.
    return f"{boot_id()}/{time.monotonic()!r}"


def age_seconds(written: str, path: Path) -> float:
    """Return the age of a file whose content states that it was written at `written`.

    A stamp of another start, or none (as in files of the release before), leaves only the file's
    time. Raises FileNotFoundError if the file is gone.
    """
    boot, slash, seconds = written.strip().partition("/")
    if slash and boot == boot_id():
        age = time.monotonic() - float(seconds)
        # Without a boot id, a negative age shows that the machine was started again.
        if age >= 0:
            return age
    return time.time() - path.stat().st_mtime
