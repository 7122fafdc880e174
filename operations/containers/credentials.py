"""Generate the containers' secrets on first use, in a folder that git ignores.

Containers get secrets as files (compose secrets), never as variables.
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
"""User id of the containers when root runs make."""


def container_uid() -> int:
    """Return the user id of our containers: the caller's, but never root's."""
    return os.getuid() or CONTAINER_UID


def ensure() -> list[str]:
    """Generate missing secrets and return their names.

    Raises StackError if a secret belongs to another user, so that containers cannot read it.
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
    """Return secrets as compose variables, for images that cannot read our files."""
    found = {}
    for name in ("mongo_root_password", "grafana_admin_password"):
        path = FOLDER / name
        if path.exists() and os.access(path, os.R_OK):
            found[name.upper()] = path.read_text(encoding="ascii")
    return found
