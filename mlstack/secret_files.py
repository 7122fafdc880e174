"""Secrets that are drawn on first use, each into a file of its own."""

import os
import secrets
import tempfile
from pathlib import Path

_BYTES = 24


def draw(path: Path, owner: int | None = None) -> bool:
    """Draws a secret into a file that is not there yet; nobody but its owner may read it.

    An empty file is no secret: a secret is drawn in its place.

    Args:
        path: The file; its folder is there.
        owner: User and group that get it; None: whoever draws.

    Returns:
        Whether one was drawn.
    """
    if _is_there(path):
        return False
    # It takes its name when it is whole: half a secret is one that nobody would notice.
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            # No end of line: what reads the file may take it for a part of the secret.
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if owner is not None:
            os.chown(new, owner, owner)
        if not _is_there(path):
            path.unlink(missing_ok=True)
        # Unlike a rename it never replaces what somebody else was faster with.
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        Path(new).unlink()
    return True


def _is_there(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0
