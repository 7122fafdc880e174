"""How XGBoost learns each kind of target, and what a model's margins and scores mean."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Scored, Target

Margins = NDArray[np.float32]
"""Sums of leaves, shape (n_rows, n_outputs): one output, or one per class of three or more."""

Scores = NDArray[np.float32]
"""What a model returns: probabilities or numbers, shape (n_rows,); with three classes or more their
probabilities, shape (n_rows, n_classes)."""

_LARGEST_POWER = np.float32(88.7)
"""The exponential of a larger number overflows in single precision."""

_ONE = np.float32(1)


def objective(target: Target) -> dict[str, Any]:
    """Return XGBoost's parameters that depend on the target."""
    match target:
        case BinaryTarget():
            # For probabilities the rmse is the root of the Brier score.
            return {"objective": "binary:logistic", "eval_metric": "rmse"}
        case RegressionTarget():
            return {"objective": "reg:squarederror", "eval_metric": "rmse"}
        case MulticlassTarget():
            classes = len(target.classes)
            return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": classes}


def as_scores(target: Target, margins: Margins) -> Scores:
    """Convert margins of shape (n_rows, n_outputs) to scores, in the arithmetic of XGBoost.

    Only an exponential's last bit may differ from XGBoost's: here it is rounded correctly, so that
    all machines agree.
    """
    if isinstance(target, RegressionTarget):
        return margins.reshape(-1)
    scores: Scores
    if isinstance(target, MulticlassTarget):
        powers = _exponential(margins - margins.max(axis=1, keepdims=True))
        scores = powers / powers.sum(axis=1, dtype=np.float64, keepdims=True).astype(np.float32)
    else:
        scores = _ONE / (_ONE + _exponential(np.minimum(-margins.reshape(-1), _LARGEST_POWER)))
    return scores


def _exponential(numbers: Margins) -> Margins:
    powers: Margins = np.exp(numbers, dtype=np.float64).astype(np.float32)
    return powers


def scored(target: Target, scores: Scores) -> list[Scored]:
    """Convert scores to predictions, one per row."""
    if not isinstance(target, MulticlassTarget):
        return list(map(Scored, scores.tolist()))
    best = scores.argmax(axis=1).tolist()
    return [
        Scored(target.classes[place], tuple(row))
        for place, row in zip(best, scores.tolist(), strict=True)
    ]
