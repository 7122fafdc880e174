"""Write the files of a trained model, its ONNX form among them; needs XGBoost and onnx."""

from pathlib import Path

import numpy as np
import xgboost

from mlstack.contract import Contract
from mlstack.contract.target import Target
from mlstack.data.marginals import Marginals
from mlstack.errors import ContractError, ModelError
from mlstack.model.check_rows import CheckRows, draw_rows
from mlstack.model.encoder import Encoder
from mlstack.model.engine import Engine
from mlstack.model.model_files import (
    CHECK_ROWS_FILE,
    CONTRACT_FILE,
    EXTRA_FOLDER,
    MANIFEST_FILE,
    MARGINALS_FILE,
    ONNX_FILE,
    ONNX_MANIFEST_FILE,
    Manifest,
    OnnxManifest,
    read_trained_files,
    sha256,
)
from mlstack.model.onnx_form import OnnxForm, xgboost_margins
from mlstack.model.targets import as_scores

_TOLERANCE = 1e-5
"""How much our link function may differ from XGBoost's, whose last bits depend on the machine."""


def write_extra_files(
    booster: xgboost.Booster,
    contract: Contract,
    contract_text: str,
    folder: Path,
    marginals: Marginals | None = None,
) -> list[Path]:
    """Write the files beside a trained model; return their paths.

    These are the contract (`contract_text` is its YAML), the ONNX form, the manifests and the
    marginals. The folder is created if missing. Raises ModelError if the booster has no exact ONNX
    form.
    """
    encoder = Encoder(contract)
    matrix = encoder.encode([contract.example])
    manifest = Manifest(
        columns=encoder.columns,
        model_sha256=sha256(booster.save_raw("ubj")),
        contract_sha256=sha256(contract_text.encode()),
        test_row=contract.example,
        test_row_chance=booster.inplace_predict(matrix, validate_features=False)[0].tolist(),
    )
    files = {
        CONTRACT_FILE: contract_text.encode(),
        MANIFEST_FILE: manifest.model_dump_json(indent=2).encode(),
        **_onnx_files(booster, contract.target, manifest.model_sha256),
    }
    if marginals is not None:
        files[MARGINALS_FILE] = marginals.text().encode()
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder / name, content) for name, content in files.items()]


def convert_model(folder: Path, run_id: str) -> None:
    """Add the ONNX form to a model of an earlier release.

    Raises ModelError if a file is missing or modified, or the model has no exact ONNX form.
    """
    trained = read_trained_files(folder, run_id)
    try:
        target = Contract.parse(trained.contract, f"contract of run {run_id}").target
        booster = xgboost.Booster(model_file=bytearray(trained.booster))
    except (ContractError, xgboost.core.XGBoostError) as error:
        raise ModelError(f"model of run {run_id} cannot be loaded: {error}") from error
    booster.set_param({"nthread": 1})
    for name, content in _onnx_files(booster, target, trained.manifest.model_sha256).items():
        _write(folder / EXTRA_FOLDER / name, content)


def _onnx_files(booster: xgboost.Booster, target: Target, model_sha256: str) -> dict[str, bytes]:
    form = OnnxForm(booster)
    engine = Engine(form.content)
    matrix = draw_rows(form.splits, engine.columns)
    rows = CheckRows(matrix, xgboost_margins(booster, matrix))
    if differ := rows.count_differences(engine):
        raise ModelError(
            f"the model's ONNX form is not exact: {differ} of {len(matrix)} check rows have other "
            "margins than XGBoost's"
        )
    expected = booster.inplace_predict(matrix, validate_features=False)
    scores = as_scores(target, rows.margins)
    if scores.shape != expected.shape or not np.allclose(scores, expected, _TOLERANCE, _TOLERANCE):
        raise ModelError(
            f"the model's objective does not fit a {target.kind} target: XGBoost makes other "
            "predictions from its margins"
        )
    checked = rows.pack()
    manifest = OnnxManifest(
        model_sha256=model_sha256,
        onnx_sha256=sha256(form.content),
        check_rows_sha256=sha256(checked),
    )
    return {
        ONNX_FILE: form.content,
        CHECK_ROWS_FILE: checked,
        ONNX_MANIFEST_FILE: manifest.model_dump_json(indent=2).encode(),
    }


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
