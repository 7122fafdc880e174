"""Targets in tables: the labels that XGBoost learns from, and predictions as columns."""

from typing import Any

import pandas as pd
from numpy.typing import NDArray

from mlstack.contract.prediction_fields import MORE_PROBABILITIES, PREDICTION
from mlstack.contract.target import MulticlassTarget, Target
from mlstack.model.targets import Scores, scored


def labels(target: Target, outcomes: "pd.Series[Any]") -> NDArray[Any]:
    """Convert a clean column to what XGBoost learns; a class becomes its position."""
    if isinstance(target, MulticlassTarget):
        return pd.Index(target.classes).get_indexer(pd.Index(outcomes))
    return outcomes.to_numpy()


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
