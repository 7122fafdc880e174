"""The state folder's part of a backup: what is deployed, and the history of deployments.

The models themselves are MLflow's; servers fetch them from there again.
"""

from pathlib import Path

from mlstack.deployment.deployment import DeploymentState
from mlstack.files import write_atomically
from operations.backup.archive import ArchiveWriter

_FOLDER = "state"
_FILES = ("deployments.jsonl", "deployment.json")
"""What is deployed comes last: by then all the rest is there."""


def save_deployed(state: Path, archive: ArchiveWriter) -> dict[str, int]:
    """Adds the deployment record and the history; returns how many deployments there were.

    Args:
        state: The state folder (`Settings.state_path`).
        archive: The backup.
    """
    for name in _FILES:
        # Each is replaced at once, never changed, so what is read is whole.
        if (state / name).exists():
            archive.add(f"{_FOLDER}/{name}", (state / name).read_bytes())
    return {"deployments": len(DeploymentState(state).history())}


def restore_deployed(state: Path, folder: Path) -> None:
    """Puts them where there are none.

    Args:
        state: The state folder.
        folder: The unpacked backup.
    """
    for name in _FILES:
        saved = folder / _FOLDER / name
        if saved.exists():
            write_atomically(state / name, saved.read_bytes())
