"""Have customers, or what a model says of them, changed? Distances by Evidently, verdicts by us.

Numbers are compared by the Wasserstein distance in standard deviations of the reference,
categories and ordinals by the Jensen-Shannon distance of their shares, a missing value being
a category of its own. Both measure how large a difference is. The p-value of a test would
measure how certain it is that there is one, and with enough rows that is certain of any two
samples; figures in docs/monitoring.md.

Imports Evidently, which takes seconds: only what compares imports this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from scipy.spatial.distance import jensenshannon

from mlstack.contract import CategoryFeature, Contract, Feature, OrdinalFeature
from mlstack.data.customer_table import PREDICTION
from mlstack.errors import TooFewRows

Method = Literal["wasserstein", "jensenshannon"]

METHODS: Final[Mapping[Method, str]] = {
    "wasserstein": "Wasserstein distance (in standard deviations)",
    "jensenshannon": "Jensen-Shannon distance",
}
"""Evidently's name of each method, and what people call it."""

MIN_ROWS: Final = 30
"""With fewer rows on a side nothing is said: thresholds would have to be larger than any drift."""

MISSING: Final = "<missing>"
"""What stands for a missing value among the labels of a category; no category is called so."""

# A difference that matters, once there are rows enough to see it, and for each method how far
# two samples of the same customers lie apart, in units of sqrt(1/n + 1/m). Measured:
# benchmarks/drift_detection.py.
_SMALLEST: Mapping[Method, float] = {"wasserstein": 0.1, "jensenshannon": 0.05}
_NOISE = 2.5


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far a feature, or the prediction, has moved from the reference.

    Args:
        column: Its name.
        method: One of `METHODS`.
        score: The distance; for a number the larger one, beside its threshold, of the distance
            of its values and the Jensen-Shannon distance of how many are missing.
        threshold: From this score on it has drifted; see `threshold`.
        missing_share: Share of the current rows in which it is missing.
        reference_missing_share: The same of the reference.
    """

    column: str
    method: Method
    score: float
    threshold: float
    missing_share: float
    reference_missing_share: float

    @property
    def drifted(self) -> bool:
        """Whether it is further away than its threshold."""
        return self.score >= self.threshold


@dataclass(frozen=True, slots=True)
class DriftResult:
    """A comparison of current rows with a reference.

    Args:
        features: One for each of the contract's, in its order.
        rows: Number of current rows.
        reference_rows: Number of rows of the reference.
    """

    features: tuple[ColumnDrift, ...]
    rows: int
    reference_rows: int

    @property
    def drifted_features(self) -> tuple[str, ...]:
        """Names of those that have drifted."""
        return tuple(feature.column for feature in self.features if feature.drifted)

    @property
    def share_drifted(self) -> float:
        """Share of the features that have drifted."""
        return len(self.drifted_features) / len(self.features)

    @property
    def drifted(self) -> bool:
        """Whether the data set has: one feature is enough.

        Thresholds leave so little to chance that several features need not agree, and a change
        of a business may well be about a single one.
        """
        return bool(self.drifted_features)


def threshold(method: Method, rows: int, reference_rows: int) -> float:
    """From which distance on a column has drifted.

    The smallest difference that matters, and what two samples of these sizes lie apart by chance.
    """
    return _SMALLEST[method] + _NOISE * sqrt(1 / rows + 1 / reference_rows)


def method_of(feature: Feature) -> Method:
    """How a feature is compared."""
    categorical = isinstance(feature, CategoryFeature | OrdinalFeature)
    return "jensenshannon" if categorical else "wasserstein"


def comparable(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Rows as Evidently compares and people read them.

    Args:
        rows: The features as `customer_table` gives them, perhaps `PREDICTION` and others.
        contract: What a customer is.

    Returns:
        Numbers as float64, categories and ordinals as their labels, what is missing among
        these as `MISSING`; other columns as they are.
    """
    columns = {}
    for feature in contract.features:
        values = rows[feature.name]
        if isinstance(feature, CategoryFeature | OrdinalFeature):
            labels: Mapping[object, str] = dict(zip(feature.values, feature.labels, strict=True))
            known = values.map(labels).astype(object)
            columns[feature.name] = known.where(values.notna(), MISSING)
        else:
            columns[feature.name] = values.astype("float64")
    return rows.assign(**columns)


class DriftDetector:
    """Compares rows with a reference.

    Args:
        contract: What a customer is.
        reference: The features as `customer_table` gives them, and `PREDICTION`.

    Raises:
        TooFewRows: the reference has fewer than `MIN_ROWS` rows.
    """

    def __init__(self, contract: Contract, reference: pd.DataFrame) -> None:
        _check_rows(reference, "the reference has")
        self._contract = contract
        self._reference = comparable(
            reference[[*contract.feature_names, PREDICTION]].reset_index(drop=True), contract
        )

    def features(self, current: pd.DataFrame) -> DriftResult:
        """Compares the features.

        Args:
            current: The features as `customer_table` gives them.

        Raises:
            TooFewRows: there are fewer than `MIN_ROWS` of them.
        """
        _check_rows(current, "there are only")
        names = list(self._contract.feature_names)
        rows = comparable(current[names].reset_index(drop=True), self._contract)
        methods = {feature.name: method_of(feature) for feature in self._contract.features}
        return DriftResult(
            features=self._compare(rows, methods),
            rows=len(rows),
            reference_rows=len(self._reference),
        )

    def prediction(self, chances: "pd.Series[float]") -> ColumnDrift:
        """Compares what the model says.

        Args:
            chances: Of the positive class, by the model that scored the reference.

        Raises:
            TooFewRows: there are fewer than `MIN_ROWS` of them.
        """
        rows = pd.DataFrame({PREDICTION: chances.to_numpy(dtype="float64")})
        _check_rows(rows, "there are only")
        (drift,) = self._compare(rows, {PREDICTION: "wasserstein"})
        return drift

    def _compare(
        self, rows: pd.DataFrame, methods: Mapping[str, Method]
    ) -> tuple[ColumnDrift, ...]:
        reference = self._reference[list(methods)]
        # Evidently compares what is there, and refuses a column in which nothing is.
        compared = [
            name for name in methods if rows[name].notna().any() and reference[name].notna().any()
        ]
        scores = _distances(rows[compared], reference[compared], methods)
        return tuple(
            _verdict(name, method, scores.get(name), rows[name], reference[name])
            for name, method in methods.items()
        )


def _check_rows(rows: pd.DataFrame, have: str) -> None:
    if len(rows) < MIN_ROWS:
        raise TooFewRows(f"{have} {len(rows)} rows; a comparison needs {MIN_ROWS} at least")


def _distances(
    rows: pd.DataFrame, reference: pd.DataFrame, methods: Mapping[str, Method]
) -> dict[str, float]:
    names = list(rows.columns)
    if not names:
        return {}
    definition = DataDefinition(
        numerical_columns=[name for name in names if methods[name] == "wasserstein"],
        categorical_columns=[name for name in names if methods[name] == "jensenshannon"],
    )
    metrics = [ValueDrift(column=name, method=methods[name]) for name in names]
    snapshot = Report(metrics).run(
        Dataset.from_pandas(rows, data_definition=definition),
        Dataset.from_pandas(reference, data_definition=definition),
    )
    results = snapshot.dict()["metrics"]
    return {result["config"]["column"]: float(result["value"]) for result in results}


def _verdict(
    name: str,
    method: Method,
    score: float | None,
    values: pd.Series,
    reference: pd.Series,
) -> ColumnDrift:
    rows, reference_rows = len(values), len(reference)
    missing, was_missing = _missing_share(values), _missing_share(reference)
    candidates: dict[Method, float] = {} if score is None else {method: score}
    if method == "wasserstein":
        gone = np.array([missing, 1 - missing]), np.array([was_missing, 1 - was_missing])
        candidates["jensenshannon"] = float(jensenshannon(*gone)) if missing != was_missing else 0.0
    limits = {each: threshold(each, rows, reference_rows) for each in candidates}
    worst = max(candidates, key=lambda each: (candidates[each] / limits[each], each == method))
    return ColumnDrift(name, worst, candidates[worst], limits[worst], missing, was_missing)


def _missing_share(values: pd.Series) -> float:
    return float((values.isna() | (values == MISSING)).mean())
