"""Bootstrap intervals agree with scikit-learn, drawn sample by drawn sample."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlstack.contract.prediction_fields import TARGET
from mlstack.contract.target import Target
from mlstack.data.outcome_table import outcome_column
from mlstack.model.target_columns import labels, prediction_columns
from mlstack.model.targets import Scores
from mlstack.quality import intervals
from mlstack.quality.intervals import interval, sample_count
from mlstack.quality.results import Quality
from mlstack.quality.targets import measure
from tests.support.target_kinds import KINDS, contract_of, scored_rows


def _measured(target: Target, outcomes: "pd.Series[Any]", scores: Scores) -> Quality:
    rows = prediction_columns(target, scores, outcomes.index)
    rows[TARGET] = outcome_column(outcomes, target)
    quality = measure(rows, target)
    assert quality is not None
    return quality


@pytest.mark.parametrize("kind", KINDS)
def test_interval_is_that_of_measured_samples(kind: str) -> None:
    """Each sample has the figures that are measured on its rows, with equal scores among them."""
    target = contract_of(kind).target
    rows, scores = scored_rows(kind, 300)
    outcomes, drawn = labels(target, rows), np.random.default_rng(intervals.SEED)
    samples = 8
    chosen = drawn.integers(len(rows), size=(samples, len(rows)))
    each = [
        _measured(target, rows.iloc[some].reset_index(drop=True), scores[some]) for some in chosen
    ]
    found = interval(_measured(target, rows, scores), target, outcomes, scores, samples)
    for percentile, bound in ((2.5, found.low), (97.5, found.high)):
        for name in {
            "binary": ("rmse", "logloss", "auc"),
            "regression": ("mae", "rmse", "r2"),
            "multiclass": ("logloss", "auc", "accuracy"),
        }[kind]:
            measured = [getattr(quality, name) for quality in each]
            assert getattr(bound, name) == pytest.approx(np.percentile(measured, percentile))


def test_figure_that_is_not_known_has_no_interval() -> None:
    """Outcomes of one class have no AUC."""
    target = contract_of("binary").target
    scores = np.linspace(0.1, 0.9, 250, dtype=np.float32)
    outcomes = pd.Series(np.zeros(250, np.int64))
    quality = _measured(target, outcomes, scores)
    found = interval(quality, target, outcomes.to_numpy(), scores, 50)
    assert found.low.figures()["AUC"] == found.high.figures()["AUC"] == "-"
    assert found.low.figures()["rmse"] < quality.figures()["rmse"] < found.high.figures()["rmse"]


def test_large_tables_get_fewer_samples() -> None:
    """Never so few that their percentiles are noise."""
    assert [sample_count(rows) for rows in (200, 50_000, 100_000, 10**8)] == [1000, 1000, 500, 200]
