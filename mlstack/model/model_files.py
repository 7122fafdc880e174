"""The files of a model on disk, and how their manifests protect them.

No pickles. In an MLflow run the files are part of a normal MLflow XGBoost model, which MLflow's own
tools can load. Beside it are the contract and the model's ONNX form, with which servers score.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.contract import Value
from mlstack.errors import ModelError, ModelNotConverted

MODEL_FILE = "model.ubj"
EXTRA_FOLDER = "extra_files"
"""Folder of an MLflow model for files that are not MLflow's own."""
CONTRACT_FILE = "contract.yaml"
MANIFEST_FILE = "manifest.json"
MARGINALS_FILE = "marginals.json"
"""The training rows' marginals; models of earlier releases have none."""
ONNX_FILE = "model.onnx"
CHECK_ROWS_FILE = "check_rows.npz"
ONNX_MANIFEST_FILE = "onnx.json"

_M = TypeVar("_M", bound=BaseModel)


class Manifest(BaseModel):
    """Describes a trained model, to detect damage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    columns: tuple[str, ...]
    """Column names of the training matrix, in order."""
    model_sha256: str
    contract_sha256: str
    test_row: Mapping[str, Value]
    """A customer; `test_row_chance` is the model's score for it after training."""
    test_row_chance: float | tuple[float, ...]


class OnnxManifest(BaseModel):
    """Describes a model's ONNX form.

    It is a file of its own: releases that know no ONNX form still read the other manifest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    model_sha256: str
    """Of the XGBoost file that was converted."""
    onnx_sha256: str
    check_rows_sha256: str


class TrainedFiles(NamedTuple):
    """The verified content of the files that training wrote."""

    manifest: Manifest
    contract: str
    booster: bytes


class OnnxFiles(NamedTuple):
    """The verified content of a model's ONNX form."""

    model: bytes
    check_rows: bytes


def read_trained_files(folder: Path, run_id: str) -> TrainedFiles:
    """Read contract and XGBoost file; raise ModelError if one is missing or modified."""
    booster = _read(folder / MODEL_FILE)
    contract = _read(folder / EXTRA_FOLDER / CONTRACT_FILE)
    manifest = _parse(Manifest, _read(folder / EXTRA_FOLDER / MANIFEST_FILE), run_id)
    _check(run_id, MODEL_FILE, booster, manifest.model_sha256)
    _check(run_id, CONTRACT_FILE, contract, manifest.contract_sha256)
    return TrainedFiles(manifest, contract.decode(), booster)


def read_onnx_files(folder: Path, run_id: str, trained: Manifest) -> OnnxFiles:
    """Read a model's ONNX form.

    Raises:
        ModelNotConverted: there is none, because an earlier release trained the model.
        ModelError: a file is missing or modified, or was made from another model.
    """
    extra = folder / EXTRA_FOLDER
    if not (extra / ONNX_MANIFEST_FILE).exists():
        raise ModelNotConverted(
            f"run {run_id} was trained by an earlier release, and its model is not converted to "
            f"ONNX yet: run make deploy RUN_ID={run_id}"
        )
    manifest = _parse(OnnxManifest, _read(extra / ONNX_MANIFEST_FILE), run_id)
    if manifest.model_sha256 != trained.model_sha256:
        raise ModelError(f"model of run {run_id}: {ONNX_FILE} was made from another model")
    files = OnnxFiles(_read(extra / ONNX_FILE), _read(extra / CHECK_ROWS_FILE))
    _check(run_id, ONNX_FILE, files.model, manifest.onnx_sha256)
    _check(run_id, CHECK_ROWS_FILE, files.check_rows, manifest.check_rows_sha256)
    return files


def read_marginals(folder: Path) -> str | None:
    """Read the text of the training rows' marginals; None if the run has none."""
    path = folder / EXTRA_FOLDER / MARGINALS_FILE
    return _read(path).decode() if path.exists() else None


def sha256(content: bytes | bytearray) -> str:
    """Return a content's SHA-256."""
    return hashlib.sha256(content).hexdigest()


def _check(run_id: str, name: str, content: bytes, expected: str) -> None:
    if sha256(content) != expected:
        raise ModelError(f"model of run {run_id}: {name} is not the file that was trained")


def _parse(kind: type[_M], content: bytes, run_id: str) -> _M:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise ModelError(f"model of run {run_id}: its manifest is broken: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path.name} of the model is missing: {error.strerror}") from error
