import numpy as np
import pytest

from model_orchestration.metrics import DEVIATION_THRESHOLDS, evaluate_chances

OUTCOMES = np.array([0, 0, 1, 1])
CHANCES = np.array([0.1, 0.4, 0.35, 0.8], dtype=np.float32)


def test_figures_match_those_computed_by_hand() -> None:
    figures = evaluate_chances(OUTCOMES, CHANCES)
    errors = [0.1, 0.4, 0.65, 0.2]
    assert figures["mae"] == pytest.approx(sum(errors) / 4)
    assert figures["mse"] == pytest.approx(sum(e * e for e in errors) / 4)
    assert figures["rmse"] == pytest.approx(figures["mse"] ** 0.5)
    chance_of_truth = [0.9, 0.6, 0.35, 0.8]
    assert figures["logloss"] == pytest.approx(-np.mean(np.log(chance_of_truth)))
    assert figures["auc"] == pytest.approx(3 / 4)
    assert figures["average_precision"] == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_deviation_counts_only_beyond_its_threshold() -> None:
    figures = evaluate_chances(OUTCOMES, CHANCES)
    assert figures["deviates_over_0.3"] == pytest.approx(2 / 4)
    assert figures["deviates_over_0.6"] == pytest.approx(1 / 4)
    assert figures["deviates_over_0.9"] == 0
    assert [f"deviates_over_{t}" in figures for t in DEVIATION_THRESHOLDS] == [True] * 9
