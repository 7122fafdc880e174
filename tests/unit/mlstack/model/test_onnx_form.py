"""ONNX Runtime scores as XGBoost does, bit for bit, or a model is not written."""

from typing import Any

import numpy as np
import pytest
import xgboost

from mlstack.errors import ModelError
from mlstack.model.check_rows import CheckRows, draw_rows
from mlstack.model.encoder import Matrix
from mlstack.model.engine import Engine
from mlstack.model.onnx_form import OnnxForm, xgboost_margins

COLUMNS = 8
ROUNDS = 40
OBJECTIVES: dict[str, dict[str, Any]] = {
    "binary": {"objective": "binary:logistic"},
    "regression": {"objective": "reg:squarederror"},
    "three classes": {"objective": "multi:softprob", "num_class": 3},
    "rare": {"objective": "binary:logistic", "base_score": 0.001},
    "one leaf": {"objective": "binary:logistic", "gamma": 1e6},
    "large numbers": {"objective": "reg:squarederror", "scale": 1e6},
}


def rows(count: int, seed: int = 0) -> Matrix:
    """Values of few digits, of which a tenth is missing: many are at a split."""
    draws = np.random.default_rng(seed)
    matrix = draws.normal(size=(count, COLUMNS)).round(1).astype(np.float32)
    matrix[draws.random(matrix.shape) < 0.1] = np.nan
    return matrix


def booster_of(name: str, rounds: int = ROUNDS) -> xgboost.Booster:
    parameters = {"nthread": 1, "seed": 1, "subsample": 0.9, **OBJECTIVES[name]}
    matrix = rows(800)
    outcomes = np.nan_to_num(matrix[:, 0]) + np.nan_to_num(matrix[:, 1] * matrix[:, 2])
    if "num_class" in parameters:
        outcomes = np.digitize(outcomes, [-0.5, 0.5])
    elif name not in {"regression", "large numbers"}:
        outcomes = outcomes > 0
    outcomes = outcomes * parameters.pop("scale", 1)
    data = xgboost.DMatrix(matrix, outcomes, feature_names=[f"c={i}" for i in range(COLUMNS)])
    return xgboost.train(parameters, data, rounds)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_margins_equal_those_of_xgboost(name: str) -> None:
    """Alone and in a batch, with missing values and values at splits."""
    booster = booster_of(name)[: ROUNDS // 2]
    engine = Engine(OnnxForm(booster).content)
    matrix = rows(2000, seed=1)
    expected = xgboost_margins(booster, matrix)
    np.testing.assert_array_equal(engine.margins(matrix), expected)
    alone = np.concatenate([engine.margins(row[np.newaxis]) for row in matrix[:300]])
    np.testing.assert_array_equal(alone, expected[:300])


def test_no_rows_have_no_margins() -> None:
    engine = Engine(OnnxForm(booster_of("three classes", 1)).content)
    assert engine.margins(rows(0)).shape == (0, 3)


def test_check_rows_hit_splits_and_miss_values() -> None:
    form = OnnxForm(booster_of("binary"))
    matrix = draw_rows(form.splits, COLUMNS)
    assert len(matrix) >= 256
    assert np.isnan(matrix[0]).all()
    for column, values in form.splits.items():
        drawn = matrix[:, column]
        assert np.isin(drawn, values).any()
        assert 0 < np.isnan(drawn).mean() < 0.5


@pytest.mark.parametrize("name", ["binary", "three classes", "one leaf"])
def test_packed_check_rows_are_read_as_they_were(name: str) -> None:
    booster = booster_of(name)
    matrix = draw_rows(OnnxForm(booster).splits, COLUMNS)
    written = CheckRows(matrix, xgboost_margins(booster, matrix))
    read = CheckRows.parse(written.pack())
    np.testing.assert_array_equal(read.matrix, written.matrix)
    np.testing.assert_array_equal(read.margins, written.margins)


def test_check_rows_of_wide_models_stay_small() -> None:
    """Five thousand columns of which a model uses two thousand."""
    draws = np.random.default_rng(1)
    splits = {column: draws.normal(size=4).astype(np.float32) for column in range(0, 4000, 2)}
    packed = CheckRows(draw_rows(splits, 5000), np.zeros((256, 1), dtype=np.float32)).pack()
    assert len(packed) < 1_000_000


def test_check_rows_find_another_model() -> None:
    booster = booster_of("binary")
    matrix = draw_rows(OnnxForm(booster).splits, COLUMNS)
    check = CheckRows(matrix, xgboost_margins(booster, matrix))
    assert check.count_differences(Engine(OnnxForm(booster).content)) == 0
    other = Engine(OnnxForm(booster[: ROUNDS - 1]).content)
    assert check.count_differences(other) > 200


@pytest.mark.parametrize("parameters", [{"booster": "dart"}, {"booster": "gblinear"}])
def test_other_boosters_are_refused(parameters: dict[str, Any]) -> None:
    data = xgboost.DMatrix(rows(50), np.arange(50) % 2)
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1, **parameters}, data, 2)
    with pytest.raises(ModelError, match="cannot be converted to ONNX"):
        OnnxForm(booster)


def test_split_by_category_is_refused() -> None:
    matrix = np.arange(200, dtype=np.float32)[:, np.newaxis] % 5
    data = xgboost.DMatrix(matrix, matrix[:, 0] % 2, feature_types=["c"], enable_categorical=True)
    booster = xgboost.train({"max_cat_to_onehot": 1, "tree_method": "hist"}, data, 2)
    with pytest.raises(ModelError, match="splits by category"):
        OnnxForm(booster)


def test_content_that_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="ONNX Runtime cannot load it"):
        Engine(b"no model")
