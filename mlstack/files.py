"""Write files atomically and durably, and compute checksums."""

import hashlib
import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, sync: bool = True, mode: int = 0o666) -> None:
    """Replace a file atomically, creating its folder if needed.

    With `sync` it survives a power failure. It has the permissions `mode`, minus the umask, from
    its first byte on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Containers that share a folder have processes with the same id.
    new = path.with_name(f"{path.name}.{os.uname().nodename}-{os.getpid()}.new")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if sync:
        sync_names(path.parent)


def sync_names(folder: Path) -> None:
    """Sync a folder's entries: otherwise a power failure may undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> None:
    """Create a folder that only its owner can enter, or restrict an existing one."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def sync_tree(folder: Path) -> None:
    """Sync a folder and everything in it, but not its name in its parent."""
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_names(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_names(folder)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
