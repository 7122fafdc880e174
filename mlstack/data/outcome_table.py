"""Convert predictions and outcomes to columns of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from mlstack.contract.prediction_fields import (
    DECISION,
    MORE,
    MORE_DECISION,
    MORE_PROBABILITIES,
    PREDICTION,
    PROBABILITIES,
    TARGET,
)
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target


def outcome_table(documents: Sequence[Mapping[str, Any]], target: Target) -> pd.DataFrame:
    """Convert stored predictions to columns.

    Returns:
        `PREDICTION` and `TARGET`, float64 with NaN while unknown. Classes are texts, None while
        unknown, and have `MORE_PROBABILITIES`, a tuple or None for each row. A binary target has
        `MORE_DECISION`, a bool or None for each row.
    """
    columns = {
        name: outcome_column(
            pd.Series([each.get(name) for each in documents], dtype=object), target
        )
        for name in (PREDICTION, TARGET)
    }
    more = [document.get(MORE) or {} for document in documents]
    if isinstance(target, MulticlassTarget):
        given = [each.get(PROBABILITIES) for each in more]
        probabilities = [None if each is None else tuple(each) for each in given]
        columns[MORE_PROBABILITIES] = pd.Series(probabilities, dtype=object)
    elif isinstance(target, BinaryTarget):
        columns[MORE_DECISION] = pd.Series([each.get(DECISION) for each in more], dtype=object)
    return pd.DataFrame(columns)


def summary(target: Target, outcomes: "pd.Series[Any]") -> str:
    """Describe a clean target: the count of each class, or the quartiles of numbers."""
    if isinstance(target, RegressionTarget):
        quarters = outcomes.quantile([0, 0.25, 0.5, 0.75, 1])
        return f"quartiles {', '.join(f'{number:g}' for number in quarters)}"
    counts = outcomes.value_counts()
    return ", ".join(f"{value} in {counts[value]:,}" for value in target.class_texts)


def outcome_column(values: "pd.Series[Any]", target: Target) -> "pd.Series[Any]":
    """Convert outcomes or predictions to texts if they are classes, else to float64.

    Raises ValueError or TypeError if one of them cannot be converted.
    """
    if isinstance(target, MulticlassTarget):
        return values.astype(object).where(values.notna(), None)
    return pd.to_numeric(values).astype("float64")
