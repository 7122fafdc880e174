"""Detect drift by comparing current rows with a reference.

Evidently measures distances: the Wasserstein distance in standard deviations of the reference for
numbers, and the Jensen-Shannon distance of the shares for categories and ordinals, where a missing
value is its own category. A number that is constant in the reference has no deviation; it is
compared as a category with two values, the constant and any other. A distance measures the size of
a difference; a test's p-value measures certainty, and with enough rows any two samples differ with
certainty. Thresholds therefore depend on the number of rows; see docs/monitoring.md.

Importing Evidently takes seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import chi2

from mlstack.contract import ChoiceFeature, Contract, DateFeature, Feature, NumberFeature
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.data.dates import days_since
from mlstack.errors import TooFewRows
from mlstack.quality.distances import constant_value, equals, jensen_shannon, wasserstein
from mlstack.quality.distributions import ColumnDistribution, histogram, label_shares
from mlstack.quality.results import ColumnDrift, Method
from mlstack.quality.targets import prediction_method

MIN_ROWS: Final = 30
"""Minimum rows on either side: with fewer, thresholds would exceed any real drift."""

MISSING: Final = "<missing>"
"""Label of a missing value; no real label looks like it."""

OTHER: Final = "<another value>"
"""Label of a number that differs from a constant reference."""

# The smallest difference that matters for each method, and the distance between two samples of the
# same customers in units of sqrt(1/n + 1/m). Measured by benchmarks/drift_detection.py.
_SMALLEST: Mapping[Method, float] = {"wasserstein": 0.1, "jensenshannon": 0.05}
_NOISE = 2.5

_FALSE_ALARMS = 1e-6
"""Chance that an unchanged category exceeds its noise. Below 13 values, `_NOISE` is stricter."""

_MOST = sqrt(log(2)) - 1e-9
"""Largest Jensen-Shannon distance: no value in common. The difference allows for rounding."""


@dataclass(frozen=True, slots=True)
class ComparedColumn:
    """A column of both sides as it is compared, and how.

    Args:
        method: The distance.
        current: Labels for Jensen-Shannon; for Wasserstein numbers, NaN if missing.
        reference: The same of the reference.
        threshold: Smallest distance that counts as drift.
    """

    method: Method
    current: pd.Series
    reference: pd.Series
    threshold: float

    def distance(self) -> float:
        """Compute the distance; NaN if it is Wasserstein and either side has no value."""
        if self.method == "jensenshannon":
            return jensen_shannon(self.reference, self.current)
        now, before = self.current.dropna(), self.reference.dropna()
        return wasserstein(before, now) if len(now) and len(before) else np.nan


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Drift of what a model sees, in the contract's order, and the number of current rows."""

    features: tuple[ColumnDrift, ...]
    rows: int

    @property
    def drifted_features(self) -> tuple[str, ...]:
        """Names of the features that have drifted."""
        return tuple(feature.column for feature in self.features if feature.drifted)

    @property
    def share_drifted(self) -> float:
        """Share of the features that have drifted."""
        return len(self.drifted_features) / len(self.features)

    @property
    def drifted(self) -> bool:
        """Whether the data set has drifted: one feature is enough.

        The thresholds make false alarms rare, so features need not confirm each other, and a real
        change may affect only one feature.
        """
        return bool(self.drifted_features)


def threshold(method: Method, rows: int, reference_rows: int, categories: int = 2) -> float:
    """Return the smallest distance that counts as drift for these sample sizes.

    The more categories there are, the more two samples of the same customers differ: eight times
    the squared Jensen-Shannon distance, divided by 1/n + 1/m, has a chi-squared distribution.
    """
    noise = _NOISE
    if method == "jensenshannon":
        noise = max(noise, sqrt(chi2.isf(_FALSE_ALARMS, max(categories - 1, 1)) / 8))
    limit = _SMALLEST[method] + noise * sqrt(1 / rows + 1 / reference_rows)
    return min(limit, _MOST) if method == "jensenshannon" else limit


def comparison_method(feature: Feature) -> Method:
    """Return the distance used to compare a feature."""
    return "jensenshannon" if isinstance(feature, ChoiceFeature) else "wasserstein"


def with_labels(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Convert features to the types that Evidently compares and reports show.

    Numbers become float64, dates the days since their base, listed values their labels, `MISSING`
    for a missing one. Infinity counts as missing, because no distance to it can be computed. Other
    columns are kept.
    """
    columns = {}
    for feature in contract.model_features:
        values = rows[feature.name]
        if isinstance(feature, DateFeature):
            columns[feature.name] = days_since(rows, feature)
        elif isinstance(feature, ChoiceFeature):
            labels: Mapping[object, str] = dict(
                zip(feature.table_values, feature.labels, strict=True)
            )
            known = values.map(labels).astype(object)
            columns[feature.name] = known.where(values.notna(), MISSING)
        else:
            columns[feature.name] = values.astype("float64").replace([np.inf, -np.inf], np.nan)
    return rows.assign(**columns)


def compared_column(method: Method, current: pd.Series, reference: pd.Series) -> ComparedColumn:
    """Decide how to compare a column; both sides come from `with_labels`."""
    if method == "wasserstein":
        present = reference.dropna()
        constant = constant_value(present) if len(present) else None
        if constant is None:
            counts = max(int(current.notna().sum()), 1), max(len(present), 1)
            return ComparedColumn(method, current, reference, threshold(method, *counts))
        current, reference = (_constant_labels(each, constant) for each in (current, reference))
    categories = len(set(current.unique()) | set(reference.unique()))
    limit = threshold("jensenshannon", len(current), len(reference), categories)
    return ComparedColumn("jensenshannon", current, reference, limit)


def _constant_labels(values: "pd.Series[float]", constant: float) -> "pd.Series[str]":
    labels = pd.Series(OTHER, values.index, dtype=object)
    return labels.mask(equals(values, constant), f"{constant:g}").mask(values.isna(), MISSING)


class DriftDetector:
    """Compares rows with a reference.

    The reference has the features as `customer_table` returns them, and `PREDICTION`. Raises
    TooFewRows if it has fewer than `MIN_ROWS` rows.
    """

    def __init__(self, contract: Contract, reference: pd.DataFrame) -> None:
        _check_rows(reference, "the reference has")
        self._contract = contract
        self._reference = with_labels(
            reference[[*contract.feature_names, PREDICTION]].reset_index(drop=True), contract
        )

    def compare_features(self, current: pd.DataFrame) -> DriftResult:
        """Compare the features, given as `customer_table` returns them.

        Raises TooFewRows if there are fewer than `MIN_ROWS` rows.
        """
        _check_rows(current, "there are only")
        rows = self._labelled(current)
        return DriftResult(
            features=tuple(
                self._compare(feature.name, comparison_method(feature), rows[feature.name])
                for feature in self._contract.model_features
            ),
            rows=len(current),
        )

    def distributions(self, current: pd.DataFrame) -> Mapping[str, ColumnDistribution]:
        """Count the features beside the reference, for charts; rows as in `compare_features`."""
        rows = self._labelled(current)
        return {
            feature.name: _distribution(feature, rows[feature.name], self._reference[feature.name])
            for feature in self._contract.model_features
        }

    def compare_prediction(self, predictions: "pd.Series[Any]") -> ColumnDrift:
        """Compare predictions of the model that scored the reference.

        Raises TooFewRows if there are fewer than `MIN_ROWS`.
        """
        _check_rows(predictions, "there are only")
        method = prediction_method(self._contract.target)
        return self._compare(PREDICTION, method, predictions)

    def _labelled(self, rows: pd.DataFrame) -> pd.DataFrame:
        names = list(self._contract.feature_names)
        return with_labels(rows[names].reset_index(drop=True), self._contract)

    def _compare(self, name: str, method: Method, current: pd.Series) -> ColumnDrift:
        return _judge(name, compared_column(method, current, self._reference[name]))


def _distribution(feature: Feature, current: pd.Series, reference: pd.Series) -> ColumnDistribution:
    if isinstance(feature, ChoiceFeature):
        return label_shares(current, reference, [*feature.labels, MISSING])
    return histogram(current, reference, whole=not isinstance(feature, NumberFeature))


def _check_rows(rows: pd.DataFrame | pd.Series, have: str) -> None:
    if len(rows) < MIN_ROWS:
        raise TooFewRows(f"{have} {len(rows)} rows; a comparison needs at least {MIN_ROWS}")


def _judge(name: str, column: ComparedColumn) -> ColumnDrift:
    distance = column.distance()
    scores = [] if np.isnan(distance) else [(column.method, distance, column.threshold)]
    if column.method == "wasserstein":
        labels = [
            each.isna().map({True: MISSING, False: OTHER})
            for each in (column.current, column.reference)
        ]
        missing = compared_column("jensenshannon", *labels)
        scores.append((missing.method, missing.distance(), missing.threshold))
    # Of equal ones, the first: the distance of the values.
    method, score, limit = max(scores, key=lambda each: each[1] / each[2])
    return ColumnDrift(
        name,
        method,
        score,
        limit,
        drifted=score >= limit,
        missing_share=_missing_share(column.current),
        reference_missing_share=_missing_share(column.reference),
    )


def _missing_share(values: pd.Series) -> float:
    return float((values.isna() | (values == MISSING)).mean())
