"""How predictions of each kind of target are judged: one function for each question."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract.prediction_fields import MORE_DECISION, MORE_PROBABILITIES, PREDICTION, TARGET
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.model.target_columns import labels
from mlstack.quality.figures import estimate_quality, measure_quality
from mlstack.quality.multiclass import estimate_classes, measure_classes
from mlstack.quality.regression import measure_numbers
from mlstack.quality.results import (
    MIN_OUTCOMES,
    BinaryQuality,
    Decisions,
    Method,
    MulticlassQuality,
    Quality,
    RegressionQuality,
)


def prediction_method(target: Target) -> Method:
    """Return the distance used to compare predictions."""
    return "jensenshannon" if isinstance(target, MulticlassTarget) else "wasserstein"


def measure(rows: pd.DataFrame, target: Target) -> Quality | None:
    """Measure the quality on the rows whose outcome is known; None below `MIN_OUTCOMES`.

    `rows` has the columns of `outcome_table`.
    """
    known = rows[rows[TARGET].notna()]
    if len(known) < MIN_OUTCOMES:
        return None
    coverage = len(known) / len(rows)
    outcomes, predicted = known[TARGET], known[PREDICTION]
    match target:
        case BinaryTarget():
            quality = measure_quality(outcomes.to_numpy(), predicted.to_numpy(), coverage)
            return replace(quality, decisions=_decisions(known))
        case RegressionTarget():
            return measure_numbers(
                outcomes.to_numpy(), predicted.to_numpy(), target.deviations, coverage
            )
        case MulticlassTarget():
            return measure_classes(labels(target, outcomes), probabilities(known), coverage)


def _decisions(known: pd.DataFrame) -> Decisions | None:
    """Count right and wrong decisions among rows whose outcome is known."""
    if MORE_DECISION not in known or not (made := known[MORE_DECISION].notna()).any():
        return None
    decided = known.loc[made, MORE_DECISION].astype(bool)
    positive = known.loc[made, TARGET] == 1
    return Decisions(
        right_yes=int((decided & positive).sum()),
        wrong_yes=int((decided & ~positive).sum()),
        right_no=int((~decided & ~positive).sum()),
        wrong_no=int((~decided & positive).sum()),
    )


def estimate(predictions: pd.DataFrame, rows: int, target: Target) -> Quality | None:
    """Estimate the quality without outcomes; None without predictions, and for numbers.

    A predicted number says nothing about its own error. `predictions` has the columns of
    `outcome_table`; they are some of `rows` rows.
    """
    match target:
        case BinaryTarget():
            return estimate_quality(predictions[PREDICTION].to_numpy(), rows)
        case RegressionTarget():
            return None
        case MulticlassTarget():
            return estimate_classes(probabilities(predictions), rows)


def quality_at_training(figures: Mapping[str, float], target: Target) -> Quality | None:
    """Read the metrics under the names that `model_orchestration.metrics` logs.

    None if they are missing.
    """

    def optional(name: str) -> float | None:
        value = figures.get(name, np.nan)
        return value if isfinite(value) else None

    try:
        match target:
            case BinaryTarget():
                return BinaryQuality(
                    rmse=figures["rmse"],
                    logloss=figures["logloss"],
                    auc=optional("auc"),
                    calibration_error=figures["ece"],
                    coverage=1.0,
                )
            case RegressionTarget():
                shares = ((each, optional(deviation_name(each))) for each in target.deviations)
                return RegressionQuality(
                    mae=figures["mae"],
                    rmse=figures["rmse"],
                    r2=optional("r2"),
                    # Thresholds may have been chosen after the training.
                    deviations=tuple((each, share) for each, share in shares if share is not None),
                    coverage=1.0,
                )
            case MulticlassTarget():
                return MulticlassQuality(
                    logloss=figures["logloss"],
                    auc=optional("auc"),
                    accuracy=figures["accuracy"],
                    confusion=(),
                    coverage=1.0,
                )
    except KeyError:
        return None


def deviation_name(threshold: float) -> str:
    """Return the name of a metric: the share of rows that deviate by more than a threshold."""
    return f"deviates_over_{threshold:.15g}"


def probabilities(rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return the probabilities of all classes, shape (n_rows, n_classes)."""
    return np.array(rows[MORE_PROBABILITIES].tolist(), dtype=np.float64)
