"""Models on disk and in memory: native XGBoost file, contract and manifest.

No pickles. In an MLflow run the files are part of a normal MLflow XGBoost model, which MLflow's own
tools can load; servers read only these three.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import xgboost
from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.contract import Contract, Value
from mlstack.contract.target import Scored
from mlstack.data.marginals import Marginals
from mlstack.errors import ContractError, ModelError
from mlstack.model.encoder import Encoder, Matrix
from mlstack.model.targets import Scores, prediction_columns, scored

MODEL_FILE = "model.ubj"
EXTRA_FOLDER = "extra_files"
"""Folder of an MLflow model for files that are not MLflow's own."""
CONTRACT_FILE = "contract.yaml"
MANIFEST_FILE = "manifest.json"
MARGINALS_FILE = "marginals.json"
"""The training rows' marginals; models of earlier releases have none."""

# Another machine may round the last bits of a float32 differently.
_TEST_ROW_TOLERANCE = 1e-5


class Manifest(BaseModel):
    """Describes a model, to detect damage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    columns: tuple[str, ...]
    """Column names of the training matrix, in order."""
    model_sha256: str
    contract_sha256: str
    test_row: Mapping[str, Value]
    """A customer; `test_row_chance` is the model's score for it after training."""
    test_row_chance: float | tuple[float, ...]


def write_extra_files(
    booster: xgboost.Booster,
    contract: Contract,
    contract_text: str,
    folder: Path,
    marginals: Marginals | None = None,
) -> list[Path]:
    """Write the contract, the manifest and the marginals of a trained model; return their paths.

    `contract_text` is the contract as YAML. The folder is created if missing.
    """
    encoder = Encoder(contract)
    manifest = Manifest(
        columns=encoder.columns,
        model_sha256=hashlib.sha256(booster.save_raw("ubj")).hexdigest(),
        contract_sha256=hashlib.sha256(contract_text.encode()).hexdigest(),
        test_row=contract.example,
        test_row_chance=_score(booster, encoder.encode([contract.example]))[0].tolist(),
    )
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / CONTRACT_FILE, folder / MANIFEST_FILE]
    files[0].write_text(contract_text, encoding="utf-8")
    files[1].write_text(manifest.model_dump_json(indent=2), encoding="utf-8")
    if marginals is not None:
        files.append(folder / MARGINALS_FILE)
        files[2].write_text(marginals.text(), encoding="utf-8")
    return files


class Model:
    """The verified model of a run, in memory; scoring is thread-safe."""

    def __init__(self, run_id: str, contract: Contract, booster: xgboost.Booster) -> None:
        self.run_id, self.contract = run_id, contract
        self.marginals: str | None = None
        """The text of the training rows' marginals; None if the run has none."""
        self.encoder = Encoder(contract)
        self._booster = booster
        booster.set_param({"nthread": 1})  # one row is too little work for several threads

    @classmethod
    def load(cls, folder: Path, run_id: str) -> Self:
        """Load a model and verify it: checksums before parsing, test row after.

        `folder` contains an MLflow XGBoost model, with our files in `EXTRA_FOLDER`. Raises
        ModelError if a file is missing or modified, or the model contradicts its manifest.
        """
        model_bytes = _read(folder / MODEL_FILE)
        contract_bytes = _read(folder / EXTRA_FOLDER / CONTRACT_FILE)
        manifest_bytes = _read(folder / EXTRA_FOLDER / MANIFEST_FILE)
        try:
            manifest = Manifest.model_validate_json(manifest_bytes)
        except ValidationError as error:
            raise ModelError(f"model of run {run_id}: its manifest is broken: {error}") from error
        for name, content, expected in (
            (MODEL_FILE, model_bytes, manifest.model_sha256),
            (CONTRACT_FILE, contract_bytes, manifest.contract_sha256),
        ):
            if hashlib.sha256(content).hexdigest() != expected:
                raise ModelError(f"model of run {run_id}: {name} is not the file that was trained")
        try:
            contract = Contract.parse(contract_bytes.decode(), f"contract of run {run_id}")
            booster = xgboost.Booster(model_file=bytearray(model_bytes))
        except (ContractError, xgboost.core.XGBoostError) as error:
            raise ModelError(f"model of run {run_id} cannot be loaded: {error}") from error
        model = cls(run_id, contract, booster)
        model._verify(manifest)
        marginals = folder / EXTRA_FOLDER / MARGINALS_FILE
        if marginals.exists():
            model.marginals = _read(marginals).decode()
        return model

    def score(self, customers: Sequence[Mapping[str, Any]]) -> list[Scored]:
        """Predict valid customers."""
        return scored(self.contract.target, self.score_matrix(self.encoder.encode(customers)))

    def score_table(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict a table's rows; return the predictions as `targets.prediction_columns` does."""
        scores = self.score_matrix(self.encoder.encode_frame(rows))
        return prediction_columns(self.contract.target, scores, rows.index)

    def score_matrix(self, matrix: Matrix) -> Scores:
        """Score encoded rows; see `targets.Scores`."""
        return _score(self._booster, matrix)

    def follow_contract(self, contract: Contract) -> None:
        """Check that the model was trained with the contract that requests follow, and use that.

        They may differ in texts for people and in what decides no prediction. Raises ModelError if
        they differ in something else.
        """
        if self.contract.digest != contract.digest:
            raise ModelError(
                f"run {self.run_id} was trained with another contract ({self.contract.name}) "
                f"than CONTRACT names ({contract.name}): set CONTRACT to its own, or train again"
            )
        self.contract = contract

    def _verify(self, manifest: Manifest) -> None:
        model = f"model of run {self.run_id}"
        if manifest.columns != self.encoder.columns:
            raise ModelError(f"{model}: this version encodes its contract to different columns")
        if self._booster.num_features() != len(manifest.columns):
            raise ModelError(
                f"{model} has {self._booster.num_features()} columns, "
                f"but its manifest lists {len(manifest.columns)}"
            )
        score = self.score_matrix(self.encoder.encode([manifest.test_row]))[0]
        expected = np.asarray(manifest.test_row_chance)
        # Numbers of a regression may be large.
        tolerance = _TEST_ROW_TOLERANCE * np.maximum(1, np.abs(expected))
        if score.shape != expected.shape or not (np.abs(score - expected) <= tolerance).all():
            raise ModelError(
                f"{model} predicts {score.tolist()} for its test row, "
                f"but predicted {manifest.test_row_chance} after training"
            )


def _score(booster: xgboost.Booster, matrix: Matrix) -> Scores:
    scores: Scores = booster.inplace_predict(matrix, validate_features=False)
    return scores


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} of the model is missing: {error.strerror}") from error
