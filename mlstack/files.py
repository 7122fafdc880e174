"""Files that are never seen half-written."""

import os
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, sync: bool = True, mode: int = 0o666) -> None:
    """Replaces a file at once.

    Args:
        path: The file; its folder is made when it is not there.
        content: All of it.
        sync: Whether it has to outlive a power cut: synced to disk before it takes its name.
        mode: Who may read and write it, from its first byte on; less what the umask takes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
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
    """Syncs a folder's list of names: without it a power cut may undo a rename in it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_folder(path: Path) -> None:
    """Makes a folder, or takes one that is there, for its owner alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def sync_tree(folder: Path) -> None:
    """Syncs a folder with all that is in it to disk, so that it outlives a power cut.

    Its own name is in the folder above, which is not synced.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_dir():
            sync_names(path)
        elif path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_names(folder)
