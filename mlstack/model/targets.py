"""How each kind of target is learnt by XGBoost, and what a model's scores mean."""

from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract.prediction_fields import MORE_PROBABILITIES, PREDICTION
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Scored, Target

Scores = NDArray[np.float32]
"""What a model returns: probabilities or numbers, shape (n_rows,); with three classes or more their
probabilities, shape (n_rows, n_classes)."""

OBJECTIVES: Final = {
    # For probabilities the rmse is the root of the Brier score.
    BinaryTarget: {"objective": "binary:logistic", "eval_metric": "rmse"},
    RegressionTarget: {"objective": "reg:squarederror", "eval_metric": "rmse"},
    MulticlassTarget: {"objective": "multi:softprob", "eval_metric": "mlogloss"},
}


def objective(target: Target) -> dict[str, Any]:
    """Return XGBoost's parameters that depend on the target."""
    params: dict[str, Any] = dict(OBJECTIVES[type(target)])
    if isinstance(target, MulticlassTarget):
        params["num_class"] = len(target.classes)
    return params


def labels(target: Target, outcomes: "pd.Series[Any]") -> NDArray[Any]:
    """Convert a clean column to what XGBoost learns; a class becomes its position."""
    if isinstance(target, MulticlassTarget):
        return pd.Index(target.classes).get_indexer(pd.Index(outcomes))
    return outcomes.to_numpy()


def scored(target: Target, scores: Scores) -> list[Scored]:
    """Convert scores to predictions, one per row."""
    if not isinstance(target, MulticlassTarget):
        return [Scored(value) for value in scores.tolist()]
    best = scores.argmax(axis=1).tolist()
    return [
        Scored(target.classes[place], tuple(row))
        for place, row in zip(best, scores.tolist(), strict=True)
    ]


def prediction_columns(target: Target, scores: Scores, index: pd.Index) -> pd.DataFrame:
    """Convert scores to `PREDICTION`, and `MORE_PROBABILITIES` for three classes or more."""
    if not isinstance(target, MulticlassTarget):
        return pd.DataFrame({PREDICTION: scores.astype("float64")}, index=index)
    predictions = scored(target, scores)
    return pd.DataFrame(
        {
            PREDICTION: pd.Series([each.prediction for each in predictions], index, dtype=object),
            MORE_PROBABILITIES: pd.Series(
                [each.probabilities for each in predictions], index, dtype=object
            ),
        }
    )
