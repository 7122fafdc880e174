"""How well chances match outcomes, measured and estimated."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.contract.target import BinaryTarget
from mlstack.quality.figures import (
    calibration_bins,
    calibration_error,
    estimate_quality,
    measure_quality,
)
from mlstack.quality.reference import _quality
from mlstack.quality.results import (
    MIN_OUTCOMES,
    MIN_OUTCOMES_PER_CLASS,
    BinaryQuality,
    explain_outcomes,
)
from mlstack.quality.targets import measure
from mlstack.settings import ROOT

BINARY = BinaryTarget(name="left", positive="yes", negative="no", meaning="The customer left.")


def test_measured_figures_are_the_textbook_ones() -> None:
    """Rmse, logloss and AUC, ties included, are what their definitions say."""
    random = np.random.default_rng(1)
    chances = random.beta(1, 4, 500).round(2)
    outcomes = (random.random(500) < chances).astype("float64")
    quality = measure_quality(outcomes, chances)
    assert quality.rmse == pytest.approx(np.sqrt(np.mean((chances - outcomes) ** 2)), abs=1e-12)
    likelihood = np.clip(np.where(outcomes == 1, chances, 1 - chances), np.finfo(float).eps, 1)
    assert quality.logloss == pytest.approx(-np.log(likelihood).mean(), abs=1e-12)
    above = chances[outcomes == 1][:, None] - chances[outcomes == 0]
    assert quality.auc == pytest.approx((np.sign(above).mean() + 1) / 2, abs=1e-12)


def test_wrong_certainty_costs_a_finite_logloss() -> None:
    """A chance of 1 that is wrong costs much, but not infinitely much."""
    quality = measure_quality(np.tile([0.0, 1.0], MIN_OUTCOMES), np.ones(2 * MIN_OUTCOMES))
    assert 1 < quality.logloss < 100


def test_rows_without_outcome_count_in_coverage_alone() -> None:
    """All other figures are those of the rows whose outcome is known."""
    outcomes = np.repeat([0, np.nan, 0, 1, 1, np.nan, np.nan, np.nan], MIN_OUTCOMES)
    chances = np.repeat([0.1, 0.9, 0.4, 0.35, 0.8, 0.9, 0.9, 0.9], MIN_OUTCOMES)
    rows = pd.DataFrame({PREDICTION: chances, TARGET: outcomes})
    quality, known = measure(rows, BINARY), measure(rows.dropna(), BINARY)
    assert isinstance(quality, BinaryQuality)
    assert isinstance(known, BinaryQuality)
    assert (quality.coverage, known.coverage) == (0.5, 1)
    assert quality.rmse == known.rmse
    assert quality.auc == pytest.approx(3 / 4)


def test_nothing_is_measured_without_outcomes() -> None:
    """The measured quality is None when no outcome is known."""
    assert measure(pd.DataFrame({PREDICTION: [0.1, 0.2, 0.3], TARGET: np.nan}), BINARY) is None
    assert measure(pd.DataFrame({PREDICTION: [], TARGET: []}), BINARY) is None


@pytest.mark.parametrize("outcome", [0.0, 1.0])
def test_outcomes_of_one_class_have_no_auc(outcome: float) -> None:
    """The other figures are measured all the same."""
    quality = measure_quality(np.full(2 * MIN_OUTCOMES, outcome), np.tile([0.1, 0.2], MIN_OUTCOMES))
    assert quality.auc is None
    assert quality.rmse > 0
    assert quality.logloss > 0


@pytest.mark.parametrize("known", [1, MIN_OUTCOMES - 1, MIN_OUTCOMES])
def test_nothing_is_measured_with_too_few_outcomes(known: int) -> None:
    """However many rows there are, the known outcomes decide, and the reason gives their number."""
    outcomes = np.full(3361, np.nan)
    outcomes[:known] = np.arange(known) % 2
    enough = known >= MIN_OUTCOMES
    rows = pd.DataFrame({PREDICTION: 0.045, TARGET: outcomes})
    assert (measure(rows, BINARY) is not None) is enough
    assert explain_outcomes(known).startswith("" if enough else f"too few outcomes ({known})")


@pytest.mark.parametrize("positives", [1, MIN_OUTCOMES_PER_CLASS - 1, MIN_OUTCOMES_PER_CLASS])
def test_auc_needs_outcomes_of_both_classes(positives: int) -> None:
    """A ranking of a handful of positive outcomes is chance."""
    outcomes = (np.arange(2 * MIN_OUTCOMES) < positives).astype("float64")
    quality = measure_quality(outcomes, np.linspace(0.9, 0.1, 2 * MIN_OUTCOMES))
    assert (quality.auc is not None) is (positives >= MIN_OUTCOMES_PER_CLASS)


def test_documents_and_dashboards_state_the_minimum() -> None:
    """They give the number of outcomes that figures need."""
    text = (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")
    assert f"need {MIN_OUTCOMES} known outcomes" in text
    assert f"needs {MIN_OUTCOMES_PER_CLASS}\noutcomes of each class" in text
    dashboard = ROOT / "monitoring/grafana/dashboards/evidently-data-drift-dashboard.json"
    assert f"need {MIN_OUTCOMES} of them" in dashboard.read_text(encoding="utf-8")


def test_estimate_is_the_mean_over_predicted_outcomes() -> None:
    """It agrees with the mean quality over outcomes drawn by the chances."""
    random = np.random.default_rng(2)
    chances = random.beta(1, 4, 1000).round(3)
    estimate = estimate_quality(chances, rows=2000)
    drawn = [(random.random(1000) < chances).astype(np.int64) for _ in range(300)]
    assert estimate is not None
    assert estimate.coverage == 0.5
    for figure, metric, tolerance in (
        (estimate.rmse, root_mean_squared_error, 0.01),
        (estimate.logloss, log_loss, 0.01),
        (estimate.auc, roc_auc_score, 0.01),
        (estimate.calibration_error, calibration_error, 0.1),
    ):
        assert figure == pytest.approx(np.mean([metric(d, chances) for d in drawn]), rel=tolerance)


def test_certain_chances_are_estimated_to_be_right() -> None:
    """Chances of 0 and 1 alone have no expected error."""
    estimate = estimate_quality(np.array([0.0, 1.0, 1.0]), rows=3)
    assert estimate is not None
    assert (estimate.rmse, estimate.logloss, estimate.auc) == (0, 0, 1)


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_chances_of_one_class_have_no_estimated_auc(chance: float) -> None:
    """When one class is certain, there are no pairs to rank."""
    estimate = estimate_quality(np.full(3, chance), rows=3)
    assert estimate is not None
    assert estimate.auc is None


def test_nothing_is_estimated_without_chances() -> None:
    """The estimated quality is None without predictions."""
    assert estimate_quality(np.array([]), rows=3) is None


def test_chances_that_come_true_are_calibrated() -> None:
    """The error is 0 when outcomes are as frequent as the chances say."""
    outcomes = np.array([1, 0, 0, 0] * 10 + [1, 1, 1, 0] * 10)
    chances = np.array([0.25] * 40 + [0.75] * 40)
    assert calibration_error(outcomes, chances) == pytest.approx(0)


def test_calibration_error_weighs_bins_by_rows() -> None:
    """Each bin counts by its share of the rows."""
    outcomes = np.array([0, 0, 0, 1])
    chances = np.array([0.05, 0.05, 0.05, 0.55])
    assert calibration_error(outcomes, chances) == pytest.approx(0.05 * 3 / 4 + 0.45 / 4)


def test_calibration_bins_include_one_and_skip_empty_bins() -> None:
    """A chance of 1 is in the last bin; empty bins are left out."""
    means, shares, counts = calibration_bins(np.array([1, 0]), np.array([1.0, 0.0]))
    assert means.tolist() == [0, 1]
    assert shares.tolist() == [0, 1]
    assert counts.tolist() == [1, 1]


@pytest.mark.parametrize(("rows", "shown"), [(MIN_OUTCOMES - 1, False), (MIN_OUTCOMES, True)])
def test_reference_needs_enough_validation_rows(rows: int, *, shown: bool) -> None:
    """Metrics of a model that was judged on a handful of rows are no reference."""
    figures = {"rmse": 0.3, "logloss": 0.4, "auc": np.nan, "ece": 0.02}
    quality = _quality(figures | {"validation_rows": rows}, BINARY)
    assert (quality is not None) is shown
    earlier = _quality(figures, BINARY)
    assert isinstance(earlier, BinaryQuality)
    assert earlier.auc is None
