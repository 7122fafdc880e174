"""Secrets, each in its own file: generate and read them."""

import os
import secrets
import tempfile
from pathlib import Path
from urllib.parse import quote

from mlstack.errors import SettingsError

_BYTES = 24


def draw(path: Path, owner: int | None = None) -> bool:
    """Generate a secret unless its file has one; return whether it was generated.

    Only the file's owner can read it: the user and group `owner`, or the current user if None. The
    folder must exist. An empty file is replaced.
    """
    if has_secret(path):
        return False
    # The file gets its name once it is complete: half a secret would go unnoticed.
    descriptor, new = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            # No newline: some readers would take it as part of the secret.
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        if owner is not None:
            os.chown(new, owner, owner)
        if not has_secret(path):
            path.unlink(missing_ok=True)
        # Unlike a rename, a link never replaces a file that another process created first.
        os.link(new, path)
    except FileExistsError:
        return False
    finally:
        Path(new).unlink()
    return True


def read_secret(setting: str, path: Path) -> str:
    """Read a secret, without surrounding whitespace.

    Raises SettingsError, which names `setting` but never contains the secret, if the file cannot be
    read or is empty.
    """
    try:
        secret = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{setting}={path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{setting}={path}: is not a text file") from error
    if not secret:
        raise SettingsError(f"{setting}={path}: is empty")
    return secret


def has_secret(path: Path) -> bool:
    """Return whether a file has a secret."""
    return path.exists() and path.stat().st_size > 0


def with_password(uri: str, password: str) -> str:
    """Return a MongoDB URI with the password of its user."""
    user, at, rest = uri.partition("@")
    if not at or user.count(":") != 1:
        raise SettingsError(
            "MONGO_PASSWORD_FILE needs a MONGO_URI that names a user and no password: "
            "mongodb://USER@HOST:PORT/?authSource=admin"
        )
    return f"{user}:{quote(password, safe='')}@{rest}"
