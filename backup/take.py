"""`make backup`: takes a backup while everything runs, and writes it to standard output."""

import importlib.metadata
import sys
from datetime import UTC, datetime
from typing import IO

from backup.archive import ArchiveWriter, Manifest
from backup.deployed import save_deployed
from backup.documents import save_documents
from backup.tracking import TrackingFiles
from mlstack.errors import MlstackError
from mlstack.maintenance import maintenance
from mlstack.settings import Settings


def take_backup(settings: Settings, stream: IO[bytes]) -> Manifest:
    """Takes a backup.

    Args:
        settings: Where things are.
        stream: Where the backup is written to.

    Raises:
        MaintenanceError: a pruning, another backup or a restore is under way.
        DeploymentError: a deployment is.
        StorageUnavailable: MongoDB does not answer.
        BackupError: MLflow's database can not be copied.
        OSError: the stream, or a file that should be in the backup.
    """
    began = datetime.now(UTC)
    tracking = TrackingFiles.of(settings)
    with maintenance(settings.state_path), ArchiveWriter(stream) as archive:
        # What is deployed comes first: its run is then in the copy of MLflow too.
        counts = {
            **save_deployed(settings.state_path, archive),
            **save_documents(settings.mongo_uri, archive),
            **tracking.save(archive),
        }
        return archive.finish(began, importlib.metadata.version("mlflow-skinny"), counts)


def main() -> int:
    """Entry point of `make backup`."""
    try:
        settings = Settings.load()
        manifest = take_backup(settings, sys.stdout.buffer)
        sys.stdout.flush()
    except (MlstackError, OSError) as error:
        _say(f"no backup was taken: {error}")
        return 1
    _say(f"backup {manifest}")
    if TrackingFiles.of(settings).artifacts is None:
        _say(f"artifacts stay in {settings.mlflow_artifacts_destination} and are not in it")
    return 0


def _say(line: str) -> None:
    # Standard output is the backup's.
    print(line, file=sys.stderr)  # noqa: T201 - this is a command's answer


if __name__ == "__main__":
    sys.exit(main())
