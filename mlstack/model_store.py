"""Verified local copies of MLflow's models: with one, a restart needs no MLflow."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from mlstack.errors import ModelError, RegistryUnavailable
from mlstack.model import Model
from mlstack.settings import ROOT

_CHECK_SECONDS = 120
_NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"


class ModelStore:
    """Models by run id, each downloaded and tried once.

    Args:
        folder: Where the copies are kept; shared by every process that serves.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, run_id: str) -> Model:
        """Loads a model, downloading it first when there is no copy yet.

        Raises:
            RegistryUnavailable: there is no copy, and MLflow can not be reached.
            ModelError: the run is unknown or unfinished, has no model, or it does not verify.
        """
        return Model.load(self.fetch(run_id), run_id)

    def fetch(self, run_id: str) -> Path:
        """Makes sure that there is a verified copy; returns its folder. Raises as `load`."""
        copy = self._folder / run_id
        if copy.exists():
            return copy
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / f"{run_id}.lock"):
            if copy.exists():
                return copy
            fresh = self._folder / f"{run_id}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            try:
                _download(run_id, fresh)
                _try_in_own_process(fresh, run_id)
                fresh.rename(copy)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        return copy


def _download(run_id: str, folder: Path) -> None:
    # MLflow takes seconds to import; a restart with a local copy does not need it.
    import mlflow.artifacts  # noqa: PLC0415
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        run = MlflowClient().get_run(run_id)
        if run.info.status != "FINISHED":
            raise ModelError(f"run {run_id} is {run.info.status}: only a finished run is deployed")
        # MLflow makes a folder of its own choice inside of the one that it is given.
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            copy = mlflow.artifacts.download_artifacts(
                artifact_uri=f"runs:/{run_id}/model", dst_path=scratch
            )
            Path(copy).rename(folder)
    except MlflowException as error:
        if error.error_code == _NO_SUCH_RUN:
            raise ModelError(f"MLflow knows no run {run_id}") from error
        raise RegistryUnavailable(
            f"MLflow can not give the model of run {run_id}: {error}"
        ) from error


def _try_in_own_process(folder: Path, run_id: str) -> None:
    """First load of a downloaded model: a file that crashes the parser crashes nobody else."""
    try:
        trial = subprocess.run(
            [sys.executable, "-m", "mlstack.model_store", str(folder), run_id],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"model of run {run_id} did not load in {_CHECK_SECONDS} s") from error
    if trial.returncode < 0:
        raise ModelError(f"model of run {run_id} ended its process with signal {-trial.returncode}")
    if trial.returncode:
        raise ModelError(trial.stderr.strip().splitlines()[-1])


def main() -> int:
    """Entry point of the trial process: `python -m mlstack.model_store FOLDER RUN_ID`."""
    folder, run_id = sys.argv[1:]
    try:
        Model.load(Path(folder), run_id)
    except ModelError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the parent reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
