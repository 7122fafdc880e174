"""Tests of models on disk: a damaged or unsuitable model is never used."""

import json
from pathlib import Path

import numpy as np
import pytest

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.errors import ModelError, ModelNotConverted
from mlstack.model.model import Model
from mlstack.model.model_files import EXTRA_FOLDER, MODEL_FILE, sha256
from mlstack.model.model_writer import convert_model, write_extra_files
from tests.support.models import (
    contract_text,
    predictions,
    remove_onnx_form,
    train,
    write_model,
)

RUN_ID = "a" * 32


@pytest.fixture
def folder(tmp_path: Path, documented: Contract) -> Path:
    return write_model(tmp_path / "model", documented, seed=1)


def test_written_model_scores_like_the_trained_one(tmp_path: Path, contract: Contract) -> None:
    model = Model.load(write_model(tmp_path / "model", contract, seed=1), RUN_ID)
    customers = CustomerGenerator(contract, seed=2).draw(100)
    expected = train(contract, seed=1).inplace_predict(model.encoder.encode(customers))
    np.testing.assert_array_equal(
        np.array(predictions(model, customers), dtype=np.float32), expected
    )


def test_batch_scores_like_single_customers(folder: Path, documented: Contract) -> None:
    model = Model.load(folder, RUN_ID)
    customers = CustomerGenerator(documented, seed=2).draw(50)
    assert predictions(model, customers) == [
        predictions(model, [customer])[0] for customer in customers
    ]


ONNX_FILES = [f"{EXTRA_FOLDER}/model.onnx", f"{EXTRA_FOLDER}/check_rows.npz"]
FILES = [MODEL_FILE, f"{EXTRA_FOLDER}/contract.yaml", *ONNX_FILES]


@pytest.mark.parametrize("file", [*FILES, f"{EXTRA_FOLDER}/manifest.json"])
def test_missing_file_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(ModelError, match="missing"):
        Model.load(folder, RUN_ID)


@pytest.mark.parametrize("file", FILES)
def test_changed_file_is_refused_before_parsing(folder: Path, file: str) -> None:
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match="is not the file that was trained"):
        Model.load(folder, RUN_ID)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("test_row_chance", 0.999, "for its test row"),
        ("columns", ["a"], "encodes its contract to different columns"),
        ("format", 2, "its manifest is broken"),
        ("surprise", 1, "its manifest is broken"),
    ],
)
def test_manifest_that_does_not_match_is_refused(
    folder: Path, key: str, value: object, reason: str
) -> None:
    path = folder / EXTRA_FOLDER / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(ModelError, match=reason):
        Model.load(folder, RUN_ID)


def test_malformed_manifest_is_refused(folder: Path) -> None:
    (folder / EXTRA_FOLDER / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="its manifest is broken"):
        Model.load(folder, RUN_ID)


def test_model_without_onnx_form_is_not_converted(folder: Path) -> None:
    remove_onnx_form(folder)
    with pytest.raises(ModelNotConverted, match=f"make deploy RUN_ID={RUN_ID}"):
        Model.load(folder, RUN_ID)
    convert_model(folder, RUN_ID)
    assert Model.load(folder, RUN_ID).run_id == RUN_ID


def test_onnx_form_of_another_model_is_refused(
    folder: Path, tmp_path: Path, documented: Contract
) -> None:
    """Its files are whole, but belong to another run."""
    other = write_model(tmp_path / "other", documented, seed=2)
    for name in ("model.onnx", "check_rows.npz", "onnx.json"):
        (folder / EXTRA_FOLDER / name).write_bytes((other / EXTRA_FOLDER / name).read_bytes())
    with pytest.raises(ModelError, match="was made from another model"):
        Model.load(folder, RUN_ID)


def test_onnx_form_that_scores_otherwise_is_refused(
    folder: Path, tmp_path: Path, documented: Contract
) -> None:
    """Its checksum is right: somebody, or another version, has converted it wrongly."""
    other = write_model(tmp_path / "other", documented, seed=2)
    content = (other / EXTRA_FOLDER / "model.onnx").read_bytes()
    (folder / EXTRA_FOLDER / "model.onnx").write_bytes(content)
    path = folder / EXTRA_FOLDER / "onnx.json"
    manifest = json.loads(path.read_text()) | {"onnx_sha256": sha256(content)}
    path.write_text(json.dumps(manifest))
    with pytest.raises(
        ModelError, match=r"ONNX Runtime scores \d+ of its 256 check rows differently"
    ):
        Model.load(folder, RUN_ID)


def test_model_of_another_objective_is_not_written(tmp_path: Path, documented: Contract) -> None:
    """The target decides the link function."""
    booster = train(documented, seed=1, objective="reg:squarederror")
    with pytest.raises(ModelError, match="objective does not fit a binary"):
        write_extra_files(booster, documented, contract_text(documented), tmp_path)
