"""Evaluation metrics that are logged with a model, for each kind of target."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    roc_auc_score,
)

from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.model.targets import Scores
from mlstack.quality.figures import Chances, Outcomes, calibration_error
from mlstack.quality.multiclass import macro_auc, measure_classes, normalised
from mlstack.quality.regression import measure_numbers
from mlstack.quality.targets import deviation_name

DEVIATION_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Thresholds for probabilities; a contract lists those for numbers."""

HEADLINES: Final[Mapping[type, tuple[str, str]]] = {
    BinaryTarget: ("rmse", "auc"),
    RegressionTarget: ("rmse", "r2"),
    MulticlassTarget: ("logloss", "auc"),
}
"""The metric that a search minimises, and one more that people compare."""


def loss_name(target: Target) -> str:
    """Return the name of the metric that a search minimises."""
    return HEADLINES[type(target)][0]


def evaluate(target: Target, outcomes: NDArray[Any], scores: Scores) -> dict[str, float]:
    """Compute every metric for a set of rows.

    Args:
        target: What the scores predict.
        outcomes: As `targets.labels` returns them, shape (n_rows,); every class must occur.
        scores: What a model returns for the same rows.
    """
    match target:
        case BinaryTarget():
            return evaluate_chances(outcomes, scores)
        case RegressionTarget():
            return _evaluate_numbers(target, outcomes, scores)
        case MulticlassTarget():
            return _evaluate_classes(outcomes, scores)


def evaluate_chances(outcomes: Outcomes, chances: Chances) -> dict[str, float]:
    """Compute every metric of probabilities for a set of rows.

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
        **{deviation_name(t): np.mean(deviation > t) for t in DEVIATION_THRESHOLDS},
    }
    return {name: float(value) for name, value in figures.items()}


def _evaluate_numbers(
    target: RegressionTarget, outcomes: NDArray[np.float64], predicted: Scores
) -> dict[str, float]:
    quality = measure_numbers(outcomes, predicted, target.deviations, coverage=1)
    return {
        "mae": quality.mae,
        "mse": quality.rmse**2,
        "rmse": quality.rmse,
        **({} if quality.r2 is None else {"r2": quality.r2}),
        **{deviation_name(limit): share for limit, share in quality.deviations},
    }


def _evaluate_classes(outcomes: NDArray[np.int64], scores: Scores) -> dict[str, float]:
    quality = measure_classes(outcomes, scores, coverage=1)
    found = {"logloss": quality.logloss, "accuracy": quality.accuracy}
    # Not `quality.auc`, which is None with few rows: metrics are logged for any number of them.
    if len(np.unique(outcomes)) == scores.shape[1]:
        found["auc"] = macro_auc(outcomes, normalised(scores))
    return found
