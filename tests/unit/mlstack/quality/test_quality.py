"""How well chances meet outcomes, measured and estimated."""

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from mlstack.quality.figures import (
    auc,
    calibration_bins,
    calibration_error,
    estimated_quality,
    logloss,
    measured_quality,
    rmse,
)

OUTCOMES = np.array([0, 0, 1, 1])
CHANCES = np.array([0.1, 0.4, 0.35, 0.8], dtype=np.float32)


def test_figures_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(1)
    # Rounded: ties are where implementations differ.
    chances = random.beta(1, 4, 500).round(2)
    outcomes = (random.random(500) < chances).astype(np.int64)
    assert rmse(outcomes, chances) == pytest.approx(math.sqrt(np.mean((chances - outcomes) ** 2)))
    assert logloss(outcomes, chances) == pytest.approx(log_loss(outcomes, chances))
    assert auc(outcomes, chances) == pytest.approx(roc_auc_score(outcomes, chances))


def test_a_certain_chance_that_is_wrong_costs_much_and_not_infinitely_much() -> None:
    assert 1 < logloss(np.array([0, 1]), np.array([1.0, 1.0])) < 100


def test_rows_without_an_outcome_count_in_the_coverage_alone() -> None:
    outcomes = np.array([0, np.nan, 0, 1, 1, np.nan, np.nan, np.nan])
    chances = np.array([0.1, 0.9, 0.4, 0.35, 0.8, 0.9, 0.9, 0.9], dtype=np.float32)
    quality = measured_quality(outcomes, chances)
    assert quality is not None
    assert quality.coverage == 0.5
    assert quality.rmse == rmse(OUTCOMES, CHANCES)
    assert quality.auc == pytest.approx(3 / 4)


def test_without_outcomes_nothing_is_measured() -> None:
    assert measured_quality(np.full(3, np.nan), np.array([0.1, 0.2, 0.3])) is None


def test_outcomes_of_one_class_have_no_auc() -> None:
    quality = measured_quality(np.array([0.0, 0.0]), np.array([0.1, 0.2]))
    assert quality is not None
    assert quality.auc is None
    assert quality.rmse > 0


def test_the_estimate_is_the_mean_over_outcomes_that_the_chances_foretell() -> None:
    random = np.random.default_rng(2)
    chances = random.beta(1, 4, 1000).round(3)
    estimate = estimated_quality(chances, rows=2000)
    drawn = [(random.random(1000) < chances).astype(np.int64) for _ in range(300)]
    assert estimate is not None
    assert estimate.coverage == 0.5
    assert estimate.rmse == pytest.approx(np.mean([rmse(d, chances) for d in drawn]), rel=0.01)
    assert estimate.logloss == pytest.approx(
        np.mean([logloss(d, chances) for d in drawn]), rel=0.01
    )
    assert estimate.auc == pytest.approx(np.mean([auc(d, chances) for d in drawn]), abs=0.01)
    assert estimate.calibration_error == pytest.approx(
        np.mean([calibration_error(d, chances) for d in drawn]), rel=0.1
    )


def test_chances_that_are_certain_are_estimated_to_be_right() -> None:
    estimate = estimated_quality(np.array([0.0, 1.0, 1.0]), rows=3)
    assert estimate is not None
    assert (estimate.rmse, estimate.logloss, estimate.auc) == (0, 0, 1)


def test_chances_of_one_class_alone_have_no_estimated_auc() -> None:
    estimate = estimated_quality(np.zeros(3), rows=3)
    assert estimate is not None
    assert estimate.auc is None


def test_without_chances_nothing_is_estimated() -> None:
    assert estimated_quality(np.array([]), rows=3) is None


def test_a_chance_that_comes_true_as_often_as_it_says_is_calibrated() -> None:
    outcomes = np.array([1, 0, 0, 0] * 10 + [1, 1, 1, 0] * 10)
    chances = np.array([0.25] * 40 + [0.75] * 40)
    assert calibration_error(outcomes, chances) == pytest.approx(0)


def test_the_calibration_error_weighs_bins_by_their_rows() -> None:
    outcomes = np.array([0, 0, 0, 1])
    chances = np.array([0.05, 0.05, 0.05, 0.55])
    assert calibration_error(outcomes, chances) == pytest.approx(0.05 * 3 / 4 + 0.45 / 4)


def test_a_chance_of_one_falls_into_the_last_bin_and_empty_bins_are_left_out() -> None:
    means, shares, counts = calibration_bins(np.array([1, 0]), np.array([1.0, 0.0]))
    assert means.tolist() == [0, 1]
    assert shares.tolist() == [0, 1]
    assert counts.tolist() == [1, 1]
