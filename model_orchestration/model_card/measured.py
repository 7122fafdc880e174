"""Measure a model on its test rows: figures with intervals, for all customers and by slice."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import MORE_DECISION, PREDICTION, TARGET
from mlstack.contract.target import MulticlassTarget
from mlstack.data.outcome_table import outcome_column
from mlstack.model.target_columns import labels, prediction_columns
from mlstack.model.targets import Scores
from mlstack.quality.intervals import interval, sample_count
from mlstack.quality.results import MIN_SLICE, BinaryQuality
from mlstack.quality.slices import slice_rows
from mlstack.quality.targets import estimate, measure


class Figure(NamedTuple):
    """A measured figure as people read it; `interval` is empty if there is none."""

    title: str
    value: str
    interval: str


class Slice(NamedTuple):
    """A slice of the test rows; it has no figures if it has fewer than `MIN_SLICE` rows."""

    feature: str
    label: str
    rows: int
    figures: tuple[Figure, ...]

    def __str__(self) -> str:
        return f"{self.feature} {self.label} ({self.rows:,})"


class ClassFigures(NamedTuple):
    """A class: the mean of its predicted probability, and the share of rows that are of it."""

    label: str
    rows: int
    mean_chance: float
    share: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A model's figures on its test rows.

    Args:
        outcomes: As `targets.labels` returns them, shape (n_rows,).
        scores: What the model returns for the rows.
        samples: Number of bootstrap samples behind the intervals.
        figures: Empty with fewer than `MIN_OUTCOMES` rows.
        slices: Slices with enough rows, in the contract's order.
        small: Those with too few.
        classes: Of a target with three classes or more.
    """

    outcomes: NDArray[Any]
    scores: Scores
    samples: int
    figures: tuple[Figure, ...]
    slices: tuple[Slice, ...]
    small: tuple[Slice, ...]
    classes: tuple[ClassFigures, ...]


def measure_model(contract: Contract, test: pd.DataFrame, scores: Scores) -> Measured:
    """Measure a model; `test` has clean rows with target, `scores` those of the same rows."""
    target = contract.target
    rows = prediction_columns(target, scores, test.index)
    rows[TARGET] = outcome_column(test[target.name], target)
    if contract.threshold is not None:
        rows[MORE_DECISION] = rows[PREDICTION] >= contract.threshold
    outcomes = labels(target, test[target.name])
    samples = sample_count(len(test))

    def figures(chosen: NDArray[np.bool_]) -> tuple[Figure, ...]:
        return _figures(contract, rows[chosen], outcomes[chosen], scores[chosen], samples)

    slices = [
        Slice(
            each.feature,
            each.label,
            int(each.rows.sum()),
            figures(each.rows) if each.rows.sum() >= MIN_SLICE else (),
        )
        for each in slice_rows(contract, test)
    ]
    return Measured(
        outcomes,
        scores,
        samples,
        figures(np.ones(len(test), bool)),
        tuple(each for each in slices if each.rows >= MIN_SLICE),
        tuple(each for each in slices if each.rows < MIN_SLICE),
        _classes(target, outcomes, scores) if isinstance(target, MulticlassTarget) else (),
    )


def _figures(
    contract: Contract,
    rows: pd.DataFrame,
    outcomes: NDArray[Any],
    scores: Scores,
    samples: int,
) -> tuple[Figure, ...]:
    quality = measure(rows, contract.target)
    if quality is None:
        return ()
    bounds = interval(quality, contract.target, outcomes, scores, samples)
    low, high = bounds.low.figures(), bounds.high.figures()
    spans = {title: f"{low[title]} to {high[title]}" for title in low}
    if isinstance(quality, BinaryQuality):
        by_chance = estimate(rows, len(rows), contract.target)
        assert isinstance(by_chance, BinaryQuality)  # noqa: S101 - of the same kind
        spans |= {
            "calibration error": f"{by_chance.calibration_error:.3f} by chance alone",
            "right decisions": "",
        }
    return tuple(
        Figure(title, value, spans[title])
        for title, value in quality.figures().items()
        if value != "-"
    )


def _classes(
    target: MulticlassTarget, outcomes: NDArray[np.int64], scores: Scores
) -> tuple[ClassFigures, ...]:
    counts = np.bincount(outcomes, minlength=len(target.classes))
    means = scores.mean(axis=0, dtype=np.float64)
    return tuple(
        ClassFigures(label, int(count), float(mean), float(count / len(outcomes)))
        for label, count, mean in zip(target.classes, counts, means, strict=True)
    )
