"""Secrets of the containers, generated on first use into a folder that git ignores.

A container gets each as a file (compose secrets), never as a variable.
"""

import os

from mlstack.secret_files import draw
from mlstack.settings import ROOT
from operations.errors import StackError

FOLDER = ROOT / ".secrets"
NAMES = (
    "mongo_root_password",
    "mongo_password",
    "grafana_admin_password",
    "feedback_token",
)
CONTAINER_UID = 10001
"""The user that containers run as when root runs make."""


def container_uid() -> int:
    """Return the user that our containers run as: the caller, but never root."""
    return os.getuid() or CONTAINER_UID


def ensure() -> list[str]:
    """Generate missing secrets; return their names.

    Raises:
        StackError: a secret belongs to another user, so the containers could not read it.
    """
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    reader = CONTAINER_UID if os.getuid() == 0 else None
    drawn = [name for name in NAMES if draw(FOLDER / name, reader)]
    for name in NAMES:
        path = FOLDER / name
        owner = path.stat().st_uid
        if owner != container_uid():
            raise StackError(
                f"{path} belongs to user {owner}; the containers run as user {container_uid()} and "
                "cannot read it: run make as the user who set this up"
            )
        path.chmod(0o600)
    return drawn


def for_public_images() -> dict[str, str]:
    """Return secrets for images whose users cannot read our files, by variable for compose."""
    found = {}
    for name in ("mongo_root_password", "grafana_admin_password"):
        path = FOLDER / name
        if path.exists() and os.access(path, os.R_OK):
            found[name.upper()] = path.read_text(encoding="ascii")
    return found
