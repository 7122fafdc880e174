"""Quality of predicted numbers and classes, measured and estimated."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from mlstack.contract.prediction_fields import (
    MORE_DECISION,
    MORE_PROBABILITIES,
    PREDICTION,
    TARGET,
)
from mlstack.contract.target import MulticlassTarget
from mlstack.quality.results import (
    MIN_OUTCOMES,
    BinaryQuality,
    Decisions,
    MulticlassQuality,
    RegressionQuality,
)
from mlstack.quality.targets import estimate, measure, quality_at_training
from tests.support.target_kinds import contract_of

NUMBER, LABEL = contract_of("regression").target, contract_of("multiclass").target


def _classes(rows: int, seed: int = 1) -> pd.DataFrame:
    """Draw probabilities, and the outcomes that they predict."""
    assert isinstance(LABEL, MulticlassTarget)
    random = np.random.default_rng(seed)
    chances = random.dirichlet((2, 1, 0.5), rows)
    outcomes = [random.choice(LABEL.classes, p=row) for row in chances]
    return pd.DataFrame(
        {
            PREDICTION: [LABEL.classes[place] for place in chances.argmax(axis=1)],
            TARGET: pd.Series(outcomes, dtype=object),
            MORE_PROBABILITIES: [tuple(row) for row in chances],
        }
    )


def test_numbers_are_measured_in_their_unit() -> None:
    """MAE, rmse, R2 and deviations are what their definitions say."""
    outcomes = np.tile([0.0, 100.0, 200.0, np.nan], MIN_OUTCOMES)
    rows = pd.DataFrame(
        {PREDICTION: np.tile([5.0, 80.0, 240.0, 9.0], MIN_OUTCOMES), TARGET: outcomes}
    )
    quality = measure(rows, NUMBER)
    assert isinstance(quality, RegressionQuality)
    assert quality.mae == pytest.approx(65 / 3)
    assert quality.rmse == pytest.approx(np.sqrt((25 + 400 + 1600) / 3))
    assert quality.r2 == pytest.approx(1 - (25 + 400 + 1600) / 20000)
    assert dict(quality.deviations) == pytest.approx({10: 2 / 3, 30: 1 / 3})
    assert quality.coverage == 0.75
    assert estimate(rows, len(rows), NUMBER) is None


@pytest.mark.parametrize("target", [NUMBER, LABEL], ids=lambda target: target.kind)
def test_too_few_outcomes_of_any_kind_have_no_figure(target: object) -> None:
    """However many rows there are, the known outcomes decide."""
    if target is LABEL:
        rows = _classes(MIN_OUTCOMES)
        rows.loc[0, TARGET] = None
    else:
        rows = pd.DataFrame({PREDICTION: np.arange(200.0), TARGET: [np.nan, *range(199)]})
    assert measure(rows, target) is None  # type: ignore[arg-type] # both are targets


def test_classes_are_measured_by_their_probabilities() -> None:
    """Logloss, accuracy and confusion are what their definitions say."""
    assert isinstance(LABEL, MulticlassTarget)
    rows = _classes(1000)
    quality = measure(rows, LABEL)
    assert isinstance(quality, MulticlassQuality)
    chances = np.array(rows[MORE_PROBABILITIES].tolist())
    places = [LABEL.classes.index(label) for label in rows[TARGET]]
    assert quality.logloss == pytest.approx(log_loss(places, chances))
    assert quality.accuracy == (rows[TARGET] == rows[PREDICTION]).mean()
    assert sum(map(sum, quality.confusion)) == 1000
    assert (
        quality.confusion[0][0]
        == ((rows[TARGET] == "delivered") & (rows[PREDICTION] == "delivered")).sum()
    )
    assert quality.auc is not None
    assert 0.7 < quality.auc < 1


def test_absent_class_has_no_macro_auc() -> None:
    """The other figures are measured all the same."""
    rows = _classes(1000)
    quality = measure(rows[rows[TARGET] != "lost"], LABEL)
    assert isinstance(quality, MulticlassQuality)
    assert quality.auc is None
    assert quality.confusion[2] == (0, 0, 0)


def test_estimate_of_classes_is_near_the_measured_quality() -> None:
    """It is the expectation over the outcomes that the probabilities predict."""
    rows = _classes(20_000)
    measured, estimated = measure(rows, LABEL), estimate(rows, 40_000, LABEL)
    assert isinstance(measured, MulticlassQuality)
    assert isinstance(estimated, MulticlassQuality)
    assert estimated.logloss == pytest.approx(measured.logloss, rel=0.02)
    assert estimated.accuracy == pytest.approx(measured.accuracy, rel=0.02)
    assert estimated.auc == pytest.approx(measured.auc, rel=0.01)
    assert estimated.coverage == 0.5


def test_training_metrics_become_quality() -> None:
    """Thresholds that were chosen after a training have no figure of it."""
    quality = quality_at_training({"mae": 1, "rmse": 2, "r2": 0.5, "deviates_over_10": 0.1}, NUMBER)
    assert quality == RegressionQuality(1, 2, 0.5, ((10, 0.1),), 1)
    assert quality_at_training({"rmse": 2}, NUMBER) is None
    quality = quality_at_training({"logloss": 0.7, "accuracy": 0.6}, LABEL)
    assert quality == MulticlassQuality(0.7, None, 0.6, (), 1)


def test_decisions_are_counted_by_outcome() -> None:
    """Rows without a decision or an outcome are not counted; without any there is no figure."""
    rows = pd.DataFrame(
        {
            PREDICTION: np.tile([0.9, 0.8, 0.1, 0.2, 0.9, 0.5], 100),
            TARGET: np.tile([1, 0, 0, 1, np.nan, 1], 100),
            MORE_DECISION: [True, True, False, False, True, None] * 100,
        }
    )
    quality = measure(rows, contract_of("binary").target)
    assert isinstance(quality, BinaryQuality)
    assert quality.decisions == Decisions(100, 100, 100, 100)
    assert "200 of 400 (100 wrong yes, 100 wrong no)" in quality.figures().values()
    quality = measure(rows.assign(**{MORE_DECISION: None}), contract_of("binary").target)
    assert isinstance(quality, BinaryQuality)
    assert quality.decisions is None
