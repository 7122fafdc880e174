"""The identity of this clone: a random id that marks everything it starts.

A path proves nothing: folders are renamed, copied and replaced, and another machine or user may
have the same path. So the id is in a file that git ignores, and processes, containers and volumes
carry it.
"""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from mlstack.command_line import say
from mlstack.files import write_atomically
from operations.errors import StackError

NAME = ".clone"
"""The file, in the clone's folder. Not a secret."""

_BYTES = 16


@dataclass(frozen=True, slots=True)
class Clone:
    """A clone of the project.

    Args:
        id: What it is recognised by.
        folder: Where it was last used, for people.
    """

    id: str
    folder: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read a folder's identity; None if it has none or hides it.

        Raises StackError if the file is not an identity.
        """
        path = folder / NAME
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except (ValueError, TypeError) as error:
            raise StackError(
                f"{path} is damaged: restore it, or remove it and run make adopt"
            ) from error

    @property
    def is_there(self) -> bool:
        """Whether its folder still has it, as far as this user may see."""
        there = Clone.read(Path(self.folder))
        return there is not None and there.id == self.id


def identify(root: Path) -> Clone:
    """Return the identity of the clone in a folder; draw it on first use.

    A renamed clone keeps its id. A copy gets an id of its own while its original exists, because
    what runs belongs to the original.
    """
    found = Clone.read(root)
    if found is None:
        return _draw(root)
    if found.folder == str(root):
        return found
    original = Path(found.folder)
    if not found.is_there:
        return _write(root, found.id)
    if original.samefile(root):
        return found  # one folder with two paths
    say(f"this folder is a copy of {original}: what runs there is not this clone's")
    return _write(root, secrets.token_hex(_BYTES))


def _draw(root: Path) -> Clone:
    new = f"{NAME}.{os.getpid()}.new"
    drawn = _write(root, secrets.token_hex(_BYTES), new)
    try:
        # Unlike a rename, a link never replaces what another make has drawn meanwhile.
        os.link(root / new, root / NAME)
    except FileExistsError:
        other = Clone.read(root)
        if other is None:
            raise StackError(f"{root / NAME} cannot be read: chmod a+r it") from None
        return other
    finally:
        (root / new).unlink()
    return drawn


def _write(root: Path, identity: str, name: str = NAME) -> Clone:
    clone, path = Clone(identity, str(root)), root / name
    try:
        write_atomically(path, json.dumps(asdict(clone)).encode())
        # Every user of the folder must be able to read it, whatever the first one's umask.
        path.chmod(0o644)
    except OSError as error:
        raise StackError(f"{path} cannot be written: {error.strerror}") from error
    return clone
