"""Back up the running stack to standard output (`make backup`)."""

import importlib.metadata
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO

from mlstack import command_line
from mlstack.data.feature_store import durable_bucket
from mlstack.errors import MlstackError
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.settings import Settings
from operations.backup.archive import ArchiveWriter, BackupError, Manifest
from operations.backup.contents import (
    save_deployments,
    save_documents,
    save_quarantine,
    save_tables,
)
from operations.backup.mlflow_files import MlflowFiles
from operations.maintenance import maintenance

_PATIENCE_SECONDS = 3600.0
"""A nightly backup waits for a running pruning instead of failing."""


def create_backup(settings: Settings, stream: IO[bytes], say: Callable[[str], object]) -> Manifest:
    """Write a backup to a stream; `say` gets a line before waiting for the lock.

    Raises:
        MaintenanceError: a pruning, another backup or a restore takes too long.
        StorageUnavailable: MongoDB does not answer.
        QuarantineError: the quarantine cannot be read.
        BackupError: MLflow's database cannot be copied.
        OSError: writing to the stream or reading a file fails.
    """
    began = datetime.now(UTC)
    mlflow = MlflowFiles.of(settings)
    turn = maintenance(settings.state_path, _PATIENCE_SECONDS, say)
    with turn, ArchiveWriter(stream) as archive:
        # Deployments first, so that the later copy of MLflow contains their runs.
        counts = {
            **save_deployments(settings.state_path, archive),
            **save_documents(settings, archive, began),
            **save_quarantine(Quarantine(settings.quarantine_path), archive),
            **mlflow.save(archive),
        }
        tables_elsewhere = durable_bucket(settings.feature_store_bucket)
        if tables_elsewhere is None:
            # After MLflow: a run's table is kept before the run begins.
            counts |= save_tables(settings, archive)
        return archive.finish(
            Manifest(
                began_at=began,
                mlflow_version=importlib.metadata.version("mlflow-skinny"),
                artifacts_elsewhere=mlflow.artifacts_elsewhere,
                database_elsewhere=mlflow.database_elsewhere,
                tables_elsewhere=tables_elsewhere,
                counts=counts,
            )
        )


def main() -> None:
    """Write a backup to standard output, and its contents to standard error."""
    try:
        manifest = create_backup(Settings.load(), sys.stdout.buffer, _say)
        sys.stdout.flush()
    except (MlstackError, OSError) as error:
        raise BackupError(f"no backup was created: {error}") from error
    _say(f"backup {manifest}")
    if manifest.database_elsewhere is not None:
        _say(
            f"MLflow's data in {manifest.database_elsewhere} is not part of the backup: save it "
            "now with pg_dump, and restore it before make restore (docs/operations.md)"
        )
    if manifest.artifacts_elsewhere is not None:
        _say(f"artifacts in {manifest.artifacts_elsewhere} are not part of the backup")
    if manifest.tables_elsewhere is not None:
        _say(f"tables in {manifest.tables_elsewhere} are not part of the backup")


def _say(line: str) -> None:
    command_line.say(line, sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
