"""Check this machine before `make` creates `.venv` and installs packages.

Usage: python operations/install/before_install.py
"""

import importlib.util
import os
import shutil
import sys
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
RUN_GIB = 1.0
"""Disk space for models, data and logs."""
INSTALL_GIB = 2.0
"""Disk space for packages and their downloads during the installation."""
_GIB = 1024**3
# Characters with a meaning in shells, search paths, wildcards, or the configuration files of
# supervisord, Nginx and compose.
_UNSAFE = frozenset(";%$:\"'`\\*?[]{}<>|")


def path_fault(folder: Path) -> str | None:
    """Return why programs of the stack would misread a folder's path; None if they do not."""
    wrong = sorted({sign for sign in str(folder) if sign in _UNSAFE or not sign.isprintable()})
    if not wrong:
        return None
    path, signs = _printable(str(folder)), _printable(" ".join(wrong))
    return (
        f"the path of the folder {path} has {signs} in it, "
        "which shells and configuration files would misread: move the project to another folder"
    )


def access_fault(folder: Path) -> str | None:
    """Return a fault if this user may not create files in a folder."""
    if os.access(folder, os.W_OK | os.X_OK):
        return None
    return (
        f"you may not write to the folder {folder}: clone the project into a folder of yours, or "
        "make this one yours with chown -R"
    )


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def python_fault() -> str | None:
    """Return what is wrong with this Python; None if nothing is."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        running = f"{sys.version_info.major}.{sys.version_info.minor}"
        return (
            f"this is Python {running}, but 3.11 to 3.13 is needed: install one, remove .venv, "
            "and run: make demo PYTHON=/path/to/python3.12"
        )
    if importlib.util.find_spec("ensurepip") is None:
        return (
            "this Python cannot create virtual environments: install its venv package "
            f"(Debian, Ubuntu: apt install python3.{sys.version_info.minor}-venv)"
        )
    return None


def disk_fault(folder: Path, needed_gib: float) -> str | None:
    """Return a fault if the disk of a folder has too little space."""
    free = shutil.disk_usage(folder).free / _GIB
    if free >= needed_gib:
        return None
    return (
        f"only {free:.1f} GiB free on the project's disk, {needed_gib:g} needed: free some space, "
        "or move the project to a larger disk"
    )


if __name__ == "__main__":
    found = (
        path_fault(Path.cwd()),
        access_fault(Path.cwd()),
        python_fault(),
        disk_fault(Path.cwd(), INSTALL_GIB + RUN_GIB),
    )
    if faults := [fault for fault in found if fault]:
        sys.exit("\n".join(faults))
