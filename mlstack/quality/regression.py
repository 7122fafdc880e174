"""Measure the quality of predicted numbers; without outcomes it cannot be estimated."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from mlstack.quality.results import RegressionQuality

Numbers = NDArray[np.float32] | NDArray[np.float64]


def measure_numbers(
    outcomes: Numbers, predicted: Numbers, thresholds: Sequence[float], coverage: float
) -> RegressionQuality:
    """Measure the quality on rows whose outcomes are known, at least one."""
    # Summing in float32 loses precision.
    truth, predicted = outcomes.astype(np.float64), predicted.astype(np.float64)
    return RegressionQuality(
        mae=float(mean_absolute_error(truth, predicted)),
        rmse=float(root_mean_squared_error(truth, predicted)),
        r2=float(r2_score(truth, predicted)) if np.ptp(truth) > 0 else None,
        deviations=deviation_shares(truth, predicted, thresholds),
        coverage=coverage,
    )


def deviation_shares(
    outcomes: Numbers, predicted: Numbers, thresholds: Sequence[float]
) -> tuple[tuple[float, float], ...]:
    """Return, for each threshold, the share of predictions that deviate by more."""
    deviation = np.abs(predicted - outcomes)
    return tuple((limit, float(np.mean(deviation > limit))) for limit in thresholds)
