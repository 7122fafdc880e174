"""Restore a backup from standard input into an empty stack (`make restore`)."""

import shutil
import sys
from typing import IO

from mlstack import command_line
from mlstack.deployment.record import DeploymentState
from mlstack.errors import MlstackError
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.settings import Settings
from model_orchestration.model_card.publish import publish_cards
from operations.backup.archive import BackupError, Manifest, unpack
from operations.backup.contents import (
    has_documents,
    restore_deployments,
    restore_documents,
    restore_quarantine,
    restore_tables,
)
from operations.backup.mlflow_files import MlflowFiles
from operations.maintenance import maintenance


def restore_backup(settings: Settings, stream: IO[bytes]) -> Manifest:
    """Restore a backup after verifying it and checking that the stack is empty.

    Raises:
        BackupError: it is incomplete, servers are running, or the stack is not empty.
        MaintenanceError: a pruning, a backup or another restore is running.
        DeploymentError: a deployment is in progress.
        StorageUnavailable: MongoDB does not answer.
        OSError: a file cannot be written.
    """
    mlflow = MlflowFiles.of(settings)
    state = DeploymentState(settings.state_path)
    # Next to the artifacts, so that restoring them is a rename.
    near = mlflow.artifacts or mlflow.database or settings.state_path / "mlflow"
    folder = near.with_name("restore")
    with maintenance(settings.state_path), state.lock():
        try:
            shutil.rmtree(folder, ignore_errors=True)  # left by a killed restore
            manifest = unpack(stream, folder)
            _require_empty(settings, mlflow, state, manifest)
            _require_same_store(mlflow, manifest)
            mlflow.check_version(folder, manifest.mlflow_version)
            restored = {**mlflow.restore(folder), **restore_documents(settings.mongo_uri, folder)}
            if wrong := restored.items() - manifest.counts.items():
                raise BackupError(f"the counts differ from the backup's: {sorted(wrong)}")
            restore_quarantine(Quarantine(settings.quarantine_path), folder)
            restore_tables(settings.state_path, folder)
            # Last, because servers start once the deployment record exists.
            restore_deployments(settings.state_path, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _require_same_store(mlflow: MlflowFiles, manifest: Manifest) -> None:
    if mlflow.artifacts_elsewhere != manifest.artifacts_elsewhere:
        raise BackupError(
            f"MLflow's artifacts are {manifest.artifacts_elsewhere or 'in the backup'}, and here "
            f"they are kept in {mlflow.artifacts_elsewhere or 'a folder'}: restore into a stack "
            "with the same MLFLOW_ARTIFACTS"
        )
    if (mlflow.database is None) != (manifest.database_elsewhere is not None):
        raise BackupError(
            f"MLflow's database is {manifest.database_elsewhere or 'in the backup'}, and here it "
            f"is {mlflow.database_elsewhere or 'a SQLite file'}: restore into a stack with the "
            "same kind of MLFLOW_BACKEND_STORE_URI"
        )


def _require_empty(
    settings: Settings, mlflow: MlflowFiles, state: DeploymentState, manifest: Manifest
) -> None:
    found = mlflow.list_contents()
    if has_documents(settings.mongo_uri):
        found.append("documents in MongoDB")
    if Quarantine(settings.quarantine_path).count():
        found.append("entries in quarantine")
    if state.record() is not None or state.history():
        found.append("a deployment")
    found += [f"{name} running" for name in sorted({each.server for each in state.statements()})]
    if found:
        raise BackupError(
            f"the backup is valid ({manifest}), but this stack is not empty: {', '.join(found)}. "
            "A restore never overwrites data: run make reset_all and make setup-model-registry "
            "first"
        )


def main() -> None:
    """Restore the backup on standard input."""
    try:
        manifest = restore_backup(Settings.load(), sys.stdin.buffer)
    except (MlstackError, OSError) as error:
        raise BackupError(f"not restored: {error}") from error
    command_line.say(f"restored: backup {manifest}")
    try:
        publish_cards(Settings.load())
    except MlstackError as error:
        command_line.say(f"the model cards are in MLflow, but not yet among the reports: {error}")


if __name__ == "__main__":
    command_line.run(main)
