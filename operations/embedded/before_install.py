"""Checks that need no installed package: `make` runs this before it makes `.venv`.

Usage: python operations/embedded/before_install.py
"""

import importlib.util
import shutil
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
RUN_GIB = 1.0
"""Free disk that models, data and logs want."""
INSTALL_GIB = 2.0
"""Free disk that the packages and their downloads want on top, until they are installed."""
_GIB = 1024**3


def wrong_python() -> str | None:
    """What is wrong with this Python; None: nothing."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"this is Python {running}, and 3.11 to 3.13 is needed: install one, remove .venv, "
            "and name it: make demo PYTHON=/path/to/python3.12"
        )
    if importlib.util.find_spec("ensurepip") is None:
        return (
            "this Python cannot make virtual environments: install its venv package "
            f"(Debian, Ubuntu: apt install python3.{sys.version_info.minor}-venv)"
        )
    return None


def too_little_disk(folder: Path, needed: float) -> str | None:
    """What is wrong with the disk that a folder is on; None: nothing.

    Args:
        folder: Where the project is.
        needed: GiB that have to be free.
    """
    free = shutil.disk_usage(folder).free / _GIB
    if free >= needed:
        return None
    return (
        f"{free:.1f} GiB are free where the project is, and {needed:g} are needed: make "
        "room, or move the project to a larger disk"
    )


if __name__ == "__main__":
    found = (wrong_python(), too_little_disk(Path.cwd(), INSTALL_GIB + RUN_GIB))
    if faults := [fault for fault in found if fault]:
        sys.exit("\n".join(faults))
