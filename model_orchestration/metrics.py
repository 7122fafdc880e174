"""Every figure that a model is logged with; monitoring shares those of mlstack.quality.figures."""

import numpy as np
from sklearn.metrics import average_precision_score

from mlstack.quality.figures import Chances, Outcomes, auc, calibration_error, logloss, rmse

DEVIATION_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


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
    return {
        "mae": float(np.mean(error)),
        "mse": float(np.mean(error**2)),
        "rmse": rmse(outcomes, chances),
        "logloss": logloss(outcomes, chances),
        "auc": auc(outcomes, chances),
        "average_precision": float(average_precision_score(outcomes, chances)),
        "ece": calibration_error(outcomes, chances),
        **{f"deviates_over_{t}": float(np.mean(error > t)) for t in DEVIATION_THRESHOLDS},
    }
