"""The state folder's part of a backup: what is deployed, its history, the verified models."""

import os
import shutil
from pathlib import Path

from backup.archive import ArchiveWriter
from mlstack.deployment import DeploymentState
from mlstack.files import sync_tree

_FOLDER = "state"
_PARTS = ("models", "references", "deployments.jsonl", "deployment.json")
"""The record comes last: what it names is there before it."""
_OF_THE_MOMENT = (".lock", ".new")


def save_deployed(state: Path, archive: ArchiveWriter) -> dict[str, int]:
    """Adds the deployment record, its history and the copies of models and training rows.

    Args:
        state: The state folder (`Settings.state_path`).
        archive: The backup.

    Returns:
        How many deployments there were.

    Raises:
        DeploymentError: a deployment is under way.
    """
    deployment = DeploymentState(state)
    with deployment.deploying():
        for part in _PARTS:
            for path in [state / part, *sorted((state / part).rglob("*"))]:
                if path.is_file() and path.suffix not in _OF_THE_MOMENT:
                    archive.add_file(f"{_FOLDER}/{path.relative_to(state).as_posix()}", path)
        return {"deployments": len(deployment.history())}


def restore_deployed(state: Path, folder: Path) -> None:
    """Puts them where there are none.

    Args:
        state: The state folder.
        folder: The unpacked backup.
    """
    for part in _PARTS:
        saved = folder / _FOLDER / part
        if saved.is_dir():
            shutil.copytree(saved, state / part, dirs_exist_ok=True)
            sync_tree(state / part)
        elif saved.is_file():
            shutil.copyfile(saved, state / part)
            with (state / part).open("rb") as file:
                os.fsync(file.fileno())
