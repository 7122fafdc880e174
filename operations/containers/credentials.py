"""Secrets: drawn on first use into a folder that git ignores, and read from there alone.

Containers get each as a file of its own (compose secrets); nobody's environment has one.
"""

import os

from mlstack.secret_files import draw
from mlstack.settings import ROOT
from operations.containers.errors import ContainerError

FOLDER = ROOT / ".secrets"
NAMES = (
    "mongo_root_password",
    "mongo_password",
    "grafana_admin_password",
    "feedback_token",
)
CONTAINER_UID = 10001
"""Who containers run as when root runs make."""


def container_uid() -> int:
    """Who our containers run as: whoever runs make, but never root."""
    return os.getuid() or CONTAINER_UID


def ensure() -> list[str]:
    """Draws the secrets that are not there yet; returns their names.

    Raises:
        ContainerError: one that is there belongs to somebody else, who alone may read it.
    """
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    reader = CONTAINER_UID if os.getuid() == 0 else None
    drawn = [name for name in NAMES if draw(FOLDER / name, reader)]
    for name in NAMES:
        path = FOLDER / name
        owner = path.stat().st_uid
        if owner != container_uid():
            raise ContainerError(
                f"{path} belongs to user {owner}, and the containers run as {container_uid()}, "
                "who could not read it: run make as the user who set this up"
            )
        path.chmod(0o600)
    return drawn


def for_public_images() -> dict[str, str]:
    """What compose hands to containers whose users cannot read our files, by variable."""
    found = {}
    for name in ("mongo_root_password", "grafana_admin_password"):
        path = FOLDER / name
        if path.exists() and os.access(path, os.R_OK):
            found[name.upper()] = path.read_text(encoding="ascii")
    return found
