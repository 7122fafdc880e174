"""How well chances meet outcomes. Predictions are chances of the positive class throughout."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

Chances = NDArray[np.float32] | NDArray[np.float64]
Outcomes = NDArray[np.int64]

DEVIATION_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
CALIBRATION_BINS = 10


def evaluate(outcomes: Outcomes, chances: Chances) -> dict[str, float]:
    """Every figure that is logged for a set of rows.

    Args:
        outcomes: 1 for the positive class, else 0; shape (n_rows,), both values in it.
        chances: Of the positive class, shape (n_rows,).

    Returns:
        `rmse` is the root of the Brier score. `deviates_over_0.3` is the share of rows whose
        chance is further than 0.3 from the outcome. The rest goes by its usual name.
    """
    # Sums over float32 chances would lose digits.
    chances = chances.astype(np.float64)
    error = np.abs(chances - outcomes)
    mse = float(np.mean(error**2))
    return {
        "mae": float(np.mean(error)),
        "mse": mse,
        "rmse": mse**0.5,
        "logloss": float(log_loss(outcomes, chances)),
        "auc": float(roc_auc_score(outcomes, chances)),
        "average_precision": float(average_precision_score(outcomes, chances)),
        "ece": calibration_error(outcomes, chances),
        **{f"deviates_over_{t}": float(np.mean(error > t)) for t in DEVIATION_THRESHOLDS},
    }


def calibration_error(outcomes: Outcomes, chances: Chances) -> float:
    """Expected calibration error over ten bins of equal width.

    The distance between the mean chance and the share of positive outcomes in each bin,
    weighted by the bin's share of the rows (Guo et al., 2017, for the positive class).
    """
    mean_chances, shares, counts = calibration_bins(outcomes, chances)
    return float(np.abs(mean_chances - shares) @ counts / len(outcomes))


def calibration_bins(
    outcomes: Outcomes, chances: Chances
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Calibration by bins of the chance, ten of equal width, without the empty ones.

    Returns:
        Per bin the mean chance, the share of positive outcomes and the number of rows,
        each of shape (n_bins,).
    """
    chances = chances.astype(np.float64)
    bins = np.minimum((chances * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.int64)
    filled = counts > 0
    sums = [np.bincount(bins, weights, CALIBRATION_BINS)[filled] for weights in (chances, outcomes)]
    return sums[0] / counts[filled], sums[1] / counts[filled], counts[filled]
