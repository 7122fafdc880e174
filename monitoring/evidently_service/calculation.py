"""Calculate drift, measured quality and estimated quality of the window."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Any

import numpy as np
import pandas as pd

from mlstack.contract.prediction_fields import PREDICTION, RUN_ID, TARGET
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget
from mlstack.quality.distributions import (
    ColumnDistribution,
    histogram,
    label_shares,
    probability_histogram,
)
from mlstack.quality.drift import MIN_ROWS, DriftDetector, DriftResult
from mlstack.quality.reference import Reference
from mlstack.quality.results import ColumnDrift, Quality
from mlstack.quality.targets import estimate, measure
from monitoring.evidently_service.window import Snapshot

_BUCKETS = 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of probabilities or numbers.

    `edges` are upper edges of buckets, the last of them infinite; `below` counts the rows up to
    each.
    """

    mean: float
    edges: Sequence[float]
    below: Sequence[int]


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Number of rows in which each class is predicted."""

    counts: Mapping[str, int]


Predictions = Distribution | ClassCounts


@dataclass(frozen=True, slots=True)
class Calculation:
    """Results for one version of the window.

    "Own rows" are rows that the deployed run predicted. A result with fewer than `MIN_ROWS` of them
    is None.

    Args:
        run_id: The deployed run, whose training rows are the reference.
        version: Version of the window.
        at: Time of the calculation.
        seconds: Duration of the calculation.
        drift: Drift of the features over the whole window.
        features: The features' distributions beside the reference, by name, for charts.
        prediction: Drift of the prediction over own rows.
        predictions: Number of own rows.
        outcomes: Number of own rows with an outcome.
        measured: Quality on them; None with fewer than `MIN_OUTCOMES`.
        estimated: Quality estimated from the probabilities of own rows; None for numbers.
        distribution: Distribution of the predictions of own rows.
        predicted: The same beside the reference, for a chart.
    """

    run_id: str
    version: int
    at: datetime
    seconds: float
    drift: DriftResult
    features: Mapping[str, ColumnDistribution]
    prediction: ColumnDrift | None
    predictions: int
    outcomes: int
    measured: Quality | None
    estimated: Quality | None
    distribution: Predictions | None
    predicted: ColumnDistribution | None


class Calculator:
    """Compares windows with one reference; raises TooFewRows if that is too small."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._edges = _edges(reference)
        self.reference_distribution = self._distribution(reference.rows)
        self._detector = DriftDetector(reference.contract, reference.rows)

    def calculate(self, window: Snapshot) -> Calculation:
        """Compare a window with the reference; raise TooFewRows if it has too few rows."""
        start = time.perf_counter()
        rows = window.table(self.reference.contract)
        # Rows without a run id count as the deployed run's.
        own = rows[rows[RUN_ID].isna() | (rows[RUN_ID] == self.reference.run_id)]
        target, enough = self.reference.contract.target, len(own) >= MIN_ROWS
        return Calculation(
            run_id=self.reference.run_id,
            version=window.version,
            drift=self._detector.compare_features(rows),
            features=self._detector.distributions(rows),
            prediction=self._detector.compare_prediction(own[PREDICTION]) if enough else None,
            predictions=len(own),
            outcomes=int(own[TARGET].notna().sum()),
            measured=measure(own, target),
            estimated=estimate(own, len(rows), target) if enough else None,
            distribution=self._distribution(own) if enough else None,
            predicted=self._predicted(own[PREDICTION]) if enough else None,
            at=datetime.now(UTC),
            seconds=time.perf_counter() - start,
        )

    def _predicted(self, predictions: "pd.Series[Any]") -> ColumnDistribution:
        reference = self.reference.rows[PREDICTION]
        match self.reference.contract.target:
            case BinaryTarget():
                return probability_histogram(predictions, reference)
            case RegressionTarget():
                return histogram(predictions, reference)
            case MulticlassTarget(classes=classes):
                return label_shares(predictions, reference, classes)

    def _distribution(self, rows: pd.DataFrame) -> Predictions:
        predictions, target = rows[PREDICTION], self.reference.contract.target
        if isinstance(target, MulticlassTarget):
            counts = predictions.value_counts()
            return ClassCounts({label: int(counts.get(label, 0)) for label in target.classes})
        below = np.searchsorted(np.sort(predictions), self._edges, side="right")
        return Distribution(float(predictions.mean()), self._edges, below.tolist())


def _edges(reference: Reference) -> Sequence[float]:
    """Return the upper edges of buckets: even ones, over the range of the reference's numbers."""
    match reference.contract.target:
        case BinaryTarget():
            inner = [number / _BUCKETS for number in range(1, _BUCKETS + 1)]
        case RegressionTarget():
            numbers = reference.rows[PREDICTION]
            inner = [
                float(f"{edge:.6g}") for edge in np.linspace(numbers.min(), numbers.max(), _BUCKETS)
            ]
        case MulticlassTarget():
            return []
    return [*dict.fromkeys(inner), inf]
