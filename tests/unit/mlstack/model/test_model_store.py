"""Tests of the model store: a kill at any time leaves an intact copy."""

import shutil
import subprocess
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.errors import ModelError
from mlstack.model import model_store
from mlstack.model.model import MODEL_FILE
from mlstack.model.model_store import ModelStore
from tests.support.models import write_model

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
