"""Tests of the model store: a kill at any time leaves an intact copy."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.errors import ModelError
from mlstack.model import model_store
from mlstack.model.model_files import MODEL_FILE
from mlstack.model.model_store import ModelStore
from tests.support.models import remove_onnx_form, write_model

RUN = "a" * 32


@pytest.fixture
def in_mlflow(tmp_path: Path, documented: Contract, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's model; what stands here is what a download gives."""
    whole = write_model(tmp_path / "mlflow", documented, seed=1)
    monkeypatch.setattr(model_store, "_download", lambda _, folder: shutil.copytree(whole, folder))
    return whole


def test_kill_during_replacement_leaves_an_intact_copy(
    in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next load needs no second download."""
    models = tmp_path / "models"
    ModelStore(models).load(RUN)
    (models / RUN / MODEL_FILE).write_bytes(b"spoilt")
    remove = shutil.rmtree

    def killed(path: Path, *, ignore_errors: bool = False) -> None:
        remove(path, ignore_errors=ignore_errors)
        if path == models / RUN:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            ModelStore(models).load(RUN)
    shutil.rmtree(in_mlflow)
    assert ModelStore(models).load(RUN).run_id == RUN
    assert not (models / f"{RUN}.ready").exists()


def test_trial_that_ends_without_a_message_is_an_error(
    in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "")

    monkeypatch.setattr(subprocess, "run", silent)
    with pytest.raises(ModelError, match=f"model of run {RUN} ended its process with 1"):
        ModelStore(tmp_path / "models").load(RUN)
    assert in_mlflow.exists()


def test_model_of_an_earlier_release_is_converted_once(
    in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy is converted where it is: MLflow may be away. What training wrote stays as it was."""
    models = tmp_path / "models"
    copy = shutil.copytree(in_mlflow, models / RUN)
    remove_onnx_form(copy)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    shutil.rmtree(in_mlflow)
    assert ModelStore(models).load(RUN).run_id == RUN
    assert {path: path.read_bytes() for path in before} == before
    with monkeypatch.context() as patch:
        patch.setattr(model_store, "_try_in_own_process", lambda *_: pytest.fail("once"))
        assert ModelStore(models).load(RUN).run_id == RUN


def _try_here(folder: Path, run_id: str) -> None:
    """Do what the child process does, in less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["model_store", str(folder), run_id])
        model_store.main()


def test_downloaded_model_of_an_earlier_release_is_converted(
    in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_onnx_form(in_mlflow)
    monkeypatch.setattr(model_store, "_try_in_own_process", _try_here)
    assert ModelStore(tmp_path / "models").load(RUN).run_id == RUN


def test_conversion_names_the_command_where_it_cannot_run(
    in_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The servers' images have neither XGBoost nor onnx."""
    remove_onnx_form(in_mlflow)
    monkeypatch.setattr(model_store, "_try_in_own_process", _try_here)
    monkeypatch.setitem(sys.modules, "mlstack.model.model_writer", None)
    with pytest.raises(ModelError, match=f"make deploy RUN_ID={RUN}"):
        ModelStore(tmp_path / "models").load(RUN)
    assert not (tmp_path / "models" / RUN).exists()
