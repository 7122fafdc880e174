"""`make backup`: takes a backup while everything runs, and writes it to standard output."""

import importlib.metadata
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

from mlstack.errors import MlstackError
from mlstack.settings import Settings
from operations.backup.archive import ArchiveWriter, Manifest
from operations.backup.deployed import save_deployed
from operations.backup.documents import save_documents
from operations.backup.tracking import TrackingFiles
from operations.maintenance import maintenance

_PATIENCE_SECONDS = 3600.0
"""Taken by night, it comes after a pruning that goes on, and not the next night."""


def take_backup(settings: Settings, stream: IO[bytes], say: Callable[[str], object]) -> Manifest:
    """Takes a backup.

    Args:
        settings: Where things are.
        stream: Where the backup is written to.
        say: Is told when something has to be waited for.

    Raises:
        MaintenanceError: a pruning, another backup or a restore is under way for too long.
        StorageUnavailable: MongoDB does not answer.
        BackupError: MLflow's database cannot be copied.
        OSError: the stream, or a file that should be in the backup.
    """
    began = datetime.now(UTC)
    tracking = TrackingFiles.of(settings)
    turn = maintenance(settings.state_path, _PATIENCE_SECONDS, say)
    with turn, ArchiveWriter(stream) as archive:
        # What is deployed comes first: its run is then in the copy of MLflow too.
        counts = {
            **save_deployed(settings.state_path, archive),
            **save_documents(settings.mongo_uri, archive),
            **tracking.save(archive),
        }
        version = importlib.metadata.version("mlflow-skinny")
        return archive.finish(began, version, tracking.elsewhere, counts)


def main() -> int:
    """Entry point of `make backup`."""
    try:
        settings = Settings.load()
        manifest = take_backup(settings, sys.stdout.buffer, _say)
        sys.stdout.flush()
    except (MlstackError, OSError) as error:
        _say(f"no backup was taken: {error}")
        return 1
    _say(f"backup {manifest}")
    if manifest.artifacts_elsewhere is not None:
        _say(f"artifacts stay in {manifest.artifacts_elsewhere} and are not in it")
    return 0


def _say(line: str) -> None:
    # Standard output is the backup's.
    print(line, file=sys.stderr)  # noqa: T201 - this is a command's answer


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
