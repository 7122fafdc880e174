"""Keep verified local copies of models, so that a restart does not need MLflow.

A model of an earlier release is converted to ONNX in its copy, once.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

from filelock import FileLock

from mlstack.command_line import run
from mlstack.errors import ModelError, ModelNotConverted, ModelNotKept
from mlstack.files import sync_names, sync_tree
from mlstack.model.mlflow_api import check_not_deleted, download, find_run
from mlstack.model.model import Model
from mlstack.settings import ROOT, Settings

_CHECK_SECONDS = 120
_READY = ".ready"
"""Suffix of a tested model that is about to replace a copy."""


class ModelStore:
    """Models by run id, each downloaded and tested once.

    All serving processes share the folder of the copies.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, run_id: str) -> Model:
        """Load a model, downloading it if there is no copy.

        Raises:
            RegistryUnavailable: there is no copy, and MLflow cannot be reached.
            ModelNotKept: the copy cannot be stored, or testing it takes too long.
            ModelError: the run is unknown or unfinished, or its model is missing or broken.
        """
        copy = self._folder / run_id
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self._folder / f"{run_id}.lock"):
                _replace_copy(copy)
                if not copy.exists():
                    _replace(copy, run_id, lambda folder: _download(run_id, folder))
                try:
                    return Model.load(copy, run_id)
                except ModelNotConverted:
                    _replace(copy, run_id, lambda folder: shutil.copytree(copy, folder))
                    return Model.load(copy, run_id)
                except ModelError as broken:
                    # A copy that was damaged by a disk or a power failure is intact in MLflow.
                    try:
                        _replace(copy, run_id, lambda folder: _download(run_id, folder))
                    except ModelError as error:
                        raise ModelError(f"{broken}; {error}") from error
                    return Model.load(copy, run_id)
        except OSError as error:
            raise ModelNotKept(
                f"the model of run {run_id} cannot be stored here: {error.strerror}"
            ) from error

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the store in the state folder."""
        return cls(settings.state_path / "models")


def _replace(copy: Path, run_id: str, fill: Callable[[Path], object]) -> None:
    """Replace a copy, or make the first one: fill a new folder, convert and test its model."""
    fresh = copy.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fill(fresh)
        _try_in_own_process(fresh, run_id)
        sync_tree(fresh)
        fresh.rename(copy.with_suffix(_READY))
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _replace_copy(copy)


def _replace_copy(copy: Path) -> None:
    """Replace a copy by its tested successor; a kill at any time leaves one intact."""
    ready = copy.with_suffix(_READY)
    if ready.exists():
        shutil.rmtree(copy, ignore_errors=True)
        ready.rename(copy)
        sync_names(copy.parent)


def _download(run_id: str, folder: Path) -> None:
    run = find_run(run_id)
    check_not_deleted(run)
    if run.info.status != "FINISHED":
        raise ModelError(f"run {run_id} is {run.info.status}: only a finished run can be deployed")
    if not (run.outputs and run.outputs.model_outputs):
        raise ModelError(f"run {run_id} has no model: choose a trial of the search")
    # MLflow creates its own folder inside the given one.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        download(run_id, "model", Path(scratch)).rename(folder)


def _try_in_own_process(folder: Path, run_id: str) -> None:
    """Convert a model if needed and load it, in a child process, which a broken file may crash."""
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


def main() -> None:
    """Test a model, converted if needed: `python -m mlstack.model.model_store FOLDER RUN_ID`."""
    folder, run_id = Path(sys.argv[1]), sys.argv[2]
    try:
        Model.load(folder, run_id)
    except ModelNotConverted as error:
        try:
            from mlstack.model.model_writer import (  # noqa: PLC0415 - servers' images lack XGBoost
                convert_model,
            )
        except ModuleNotFoundError:
            raise error from None
        convert_model(folder, run_id)
        Model.load(folder, run_id)


if __name__ == "__main__":
    run(main)
