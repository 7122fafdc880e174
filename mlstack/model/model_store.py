"""Verified local copies of MLflow's models: with one, a restart needs no MLflow."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from filelock import FileLock

from mlstack.errors import ModelError, ModelNotKept
from mlstack.files import sync_names, sync_tree
from mlstack.model.mlflow_runs import download, find_run
from mlstack.model.model import Model
from mlstack.settings import ROOT

_CHECK_SECONDS = 120


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
            RegistryUnavailable: there is no copy, and MLflow cannot be reached.
            ModelNotKept: there is no room for a copy, or no time to try it.
            ModelError: the run is unknown or unfinished, has no model, or it does not verify.
        """
        copy = self._folder / run_id
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{run_id}.lock"):
                _take_place(copy)
                if not copy.exists():
                    self._fetch(run_id, copy)
                try:
                    return Model.load(copy, run_id)
                except ModelError as broken:
                    # What a power cut or a disk has spoilt is whole in MLflow.
                    try:
                        self._fetch(run_id, copy)
                    except ModelError as error:
                        raise ModelError(f"{broken}; {error}") from error
                    return Model.load(copy, run_id)
        except OSError as error:
            raise ModelNotKept(
                f"the model of run {run_id} cannot be kept here: {error.strerror}"
            ) from error

    def _fetch(self, run_id: str, copy: Path) -> None:
        """Downloads a model, tries it, and puts it in the place of the copy."""
        fresh = copy.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _download(run_id, fresh)
            _try_in_own_process(fresh, run_id)
            sync_tree(fresh)
            fresh.rename(_ready(copy))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        _take_place(copy)


def _ready(copy: Path) -> Path:
    """Where a model that was tried waits until the copy that it replaces is gone."""
    return copy.with_suffix(".ready")


def _take_place(copy: Path) -> None:
    """Lets what is ready replace the copy; a kill at any moment leaves one of them whole."""
    ready = _ready(copy)
    if ready.exists():
        shutil.rmtree(copy, ignore_errors=True)
        ready.rename(copy)
        sync_names(copy.parent)


def _download(run_id: str, folder: Path) -> None:
    run = find_run(run_id)
    if run.info.lifecycle_stage == "deleted":
        raise ModelError(f"run {run_id} was deleted: restore it in MLflow, or choose another one")
    if run.info.status != "FINISHED":
        raise ModelError(f"run {run_id} is {run.info.status}: only a finished run is deployed")
    if not (run.outputs and run.outputs.model_outputs):
        raise ModelError(f"run {run_id} has no model: choose one of its search's trials")
    # MLflow makes a folder of its own choice inside of the one that it is given.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        download(run_id, "model", Path(scratch)).rename(folder)


def _try_in_own_process(folder: Path, run_id: str) -> None:
    """First load of a downloaded model: a file that crashes the parser crashes nobody else."""
    try:
        trial = subprocess.run(
            [sys.executable, "-m", "mlstack.model.model_store", str(folder), run_id],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=_CHECK_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelNotKept(f"model of run {run_id} did not load in {_CHECK_SECONDS} s") from error
    if trial.returncode < 0:
        raise ModelError(f"model of run {run_id} ended its process with signal {-trial.returncode}")
    if trial.returncode:
        said = trial.stderr.strip().splitlines()
        raise ModelError(
            said[-1] if said else f"model of run {run_id} ended its process with {trial.returncode}"
        )


def main() -> int:
    """Entry point of the trial process: `python -m mlstack.model.model_store FOLDER RUN_ID`."""
    folder, run_id = sys.argv[1:]
    try:
        Model.load(Path(folder), run_id)
    except ModelError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the parent reads it
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
