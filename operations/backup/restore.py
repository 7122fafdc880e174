"""`make restore`: brings a backup, read from standard input, into a stack that is empty."""

import shutil
import sys
from typing import IO

from mlstack.deployment.deployment import DeploymentState
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from operations.backup.archive import BackupError, Manifest, unpack
from operations.backup.deployed import restore_deployed
from operations.backup.documents import has_documents, restore_documents
from operations.backup.tracking import TrackingFiles
from operations.maintenance import maintenance


def restore_backup(settings: Settings, stream: IO[bytes]) -> Manifest:
    """Restores a backup, after a look at all of it and at all that stands in its way.

    Nothing is ever replaced: what is there stays, and the restore is refused.

    Args:
        settings: Where things are.
        stream: The backup.

    Raises:
        BackupError: it is not whole, servers run, or there is something already.
        MaintenanceError: a pruning, a backup or another restore is under way.
        DeploymentError: a deployment is under way.
        StorageUnavailable: MongoDB does not answer.
        OSError: the disk is full, say.
    """
    tracking = TrackingFiles.of(settings)
    state = DeploymentState(settings.state_path)
    # Beside the artifacts, so that these only change their name.
    folder = tracking.database.with_name("restore")
    with maintenance(settings.state_path), state.deploying():
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
            manifest = unpack(stream, folder)
            _require_empty(settings, tracking, state, manifest)
            _require_same_store(tracking, manifest)
            tracking.check_version(folder, manifest.mlflow_version)
            restored = {
                **tracking.restore(folder),
                **restore_documents(settings.mongo_uri, folder),
            }
            if missing := restored.items() - manifest.counts.items():
                raise BackupError(f"other counts than in the backup: {sorted(missing)}")
            # Last: before that nothing is deployed, and no server starts on half of a backup.
            restore_deployed(settings.state_path, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return manifest


def _require_same_store(tracking: TrackingFiles, manifest: Manifest) -> None:
    if tracking.elsewhere != manifest.artifacts_elsewhere:
        raise BackupError(
            f"MLflow's artifacts are {manifest.artifacts_elsewhere or 'in the backup'}, and here "
            f"they are kept in {tracking.elsewhere or 'a folder'}: restore where they are kept "
            "alike (MLFLOW_ARTIFACTS)"
        )


def _require_empty(
    settings: Settings, tracking: TrackingFiles, state: DeploymentState, manifest: Manifest
) -> None:
    there = tracking.what_is_there()
    if has_documents(settings.mongo_uri):
        there.append("documents in MongoDB")
    if state.record() is not None or state.history():
        there.append("a deployment")
    there += [f"{name} running" for name in sorted({each.server for each in state.statements()})]
    if there:
        raise BackupError(
            f"the backup is whole ({manifest}), but there is something here already: "
            f"{', '.join(there)}. A restore replaces nothing: it wants an empty stack, as after "
            "make reset_all and make setup-model-registry"
        )


def main() -> int:
    """Entry point of `make restore`."""
    try:
        manifest = restore_backup(Settings.load(), sys.stdin.buffer)
    except (MlstackError, OSError) as error:
        print(f"not restored: {error}", file=sys.stderr)  # noqa: T201 - this is a command's answer
        return 1
    print(f"restored: backup {manifest}")  # noqa: T201
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
