"""Evaluation metrics that are logged with a model."""

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    roc_auc_score,
)

from mlstack.quality.figures import Chances, Outcomes, calibration_error

DEVIATION_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def evaluate(outcomes: Outcomes, chances: Chances) -> dict[str, float]:
    """Compute every metric for a set of rows.

    Args:
        outcomes: 1 for the positive class, else 0; must contain both; shape (n_rows,).
        chances: Probabilities of the positive class; shape (n_rows,).

    Returns:
        `rmse` is the root of the Brier score, `ece` the expected calibration error.
        `deviates_over_0.3` is the share of rows whose probability differs from the outcome by more
        than 0.3. The other metrics have their usual names.
    """
    # Summing in float32 loses precision.
    chances = chances.astype(np.float64)
    deviation = np.abs(chances - outcomes)
    mse = mean_squared_error(outcomes, chances)
    figures = {
        "mae": mean_absolute_error(outcomes, chances),
        "mse": mse,
        "rmse": np.sqrt(mse),
        "logloss": log_loss(outcomes, chances),
        "auc": roc_auc_score(outcomes, chances),
        "average_precision": average_precision_score(outcomes, chances),
        "ece": calibration_error(outcomes, chances),
        **{f"deviates_over_{t}": np.mean(deviation > t) for t in DEVIATION_THRESHOLDS},
    }
    return {name: float(value) for name, value in figures.items()}
