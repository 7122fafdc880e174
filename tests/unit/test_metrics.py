import numpy as np
import pytest

from model_orchestration.metrics import (
    DEVIATION_THRESHOLDS,
    calibration_bins,
    calibration_error,
    evaluate,
)

OUTCOMES = np.array([0, 0, 1, 1])
CHANCES = np.array([0.1, 0.4, 0.35, 0.8], dtype=np.float32)


def test_figures_are_those_worked_out_by_hand() -> None:
    figures = evaluate(OUTCOMES, CHANCES)
    errors = [0.1, 0.4, 0.65, 0.2]
    assert figures["mae"] == pytest.approx(sum(errors) / 4)
    assert figures["mse"] == pytest.approx(sum(e * e for e in errors) / 4)
    assert figures["rmse"] == pytest.approx(figures["mse"] ** 0.5)
    chance_of_truth = [0.9, 0.6, 0.35, 0.8]
    assert figures["logloss"] == pytest.approx(-np.mean(np.log(chance_of_truth)))
    assert figures["auc"] == pytest.approx(3 / 4)
    assert figures["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_a_deviation_counts_only_beyond_its_threshold() -> None:
    figures = evaluate(OUTCOMES, CHANCES)
    assert figures["deviates_over_0.3"] == pytest.approx(2 / 4)
    assert figures["deviates_over_0.6"] == pytest.approx(1 / 4)
    assert figures["deviates_over_0.9"] == 0
    assert [f"deviates_over_{t}" in figures for t in DEVIATION_THRESHOLDS] == [True] * 9


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
