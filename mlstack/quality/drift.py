"""Detect drift by comparing current rows with a reference.

Evidently measures distances: the Wasserstein distance in standard deviations of the reference for
numbers, and the Jensen-Shannon distance of the shares for categories and ordinals, where a missing
value is its own category. A distance measures the size of a difference; a test's p-value measures
certainty, and with enough rows any two samples differ with certainty. Thresholds therefore depend
on the number of rows; see docs/monitoring.md.

Importing Evidently takes seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift
from scipy.spatial.distance import jensenshannon

from mlstack.contract import CategoryFeature, Contract, Feature, OrdinalFeature
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.errors import TooFewRows
from mlstack.quality.results import ColumnDrift, Method

MIN_ROWS: Final = 30
"""Minimum rows on either side: with fewer, thresholds would exceed any real drift."""

MISSING: Final = "<missing>"
"""Label of a missing category or ordinal; no real label looks like it."""

# The smallest difference that matters for each method, and the distance between two samples of the
# same customers in units of sqrt(1/n + 1/m). Measured by benchmarks/drift_detection.py.
_SMALLEST: Mapping[Method, float] = {"wasserstein": 0.1, "jensenshannon": 0.05}
_NOISE = 2.5


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Drift of all features, in the contract's order, and numbers of rows compared."""

    features: tuple[ColumnDrift, ...]
    rows: int
    reference_rows: int

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


def threshold(method: Method, rows: int, reference_rows: int) -> float:
    """Return the smallest distance that counts as drift for these sample sizes."""
    return _SMALLEST[method] + _NOISE * sqrt(1 / rows + 1 / reference_rows)


def comparison_method(feature: Feature) -> Method:
    """Return the distance used to compare a feature."""
    categorical = isinstance(feature, CategoryFeature | OrdinalFeature)
    return "jensenshannon" if categorical else "wasserstein"


def with_labels(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """Convert features to the types that Evidently compares and reports show.

    Numbers become float64, categories and ordinals labels, `MISSING` for a missing value. Other
    columns are kept.
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
        names = list(self._contract.feature_names)
        rows = with_labels(current[names].reset_index(drop=True), self._contract)
        methods = {feature.name: comparison_method(feature) for feature in self._contract.features}
        return DriftResult(
            features=self._compare(rows, methods),
            rows=len(rows),
            reference_rows=len(self._reference),
        )

    def compare_prediction(self, chances: "pd.Series[float]") -> ColumnDrift:
        """Compare predicted probabilities of the model that scored the reference.

        Raises TooFewRows if there are fewer than `MIN_ROWS`.
        """
        rows = pd.DataFrame({PREDICTION: chances.to_numpy(dtype="float64")})
        _check_rows(rows, "there are only")
        (drift,) = self._compare(rows, {PREDICTION: "wasserstein"})
        return drift

    def _compare(
        self, rows: pd.DataFrame, methods: Mapping[str, Method]
    ) -> tuple[ColumnDrift, ...]:
        reference = self._reference[list(methods)]
        # Evidently ignores missing values, and rejects a column that has only missing values.
        measurable = [
            name for name in methods if rows[name].notna().any() and reference[name].notna().any()
        ]
        distances = _distances(rows[measurable], reference[measurable], methods)
        return tuple(
            _judge(name, method, distances.get(name), rows[name], reference[name])
            for name, method in methods.items()
        )


def _check_rows(rows: pd.DataFrame, have: str) -> None:
    if len(rows) < MIN_ROWS:
        raise TooFewRows(f"{have} {len(rows)} rows; a comparison needs at least {MIN_ROWS}")


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


def _judge(
    name: str,
    method: Method,
    distance: float | None,
    values: pd.Series,
    reference: pd.Series,
) -> ColumnDrift:
    missing, was_missing = _missing_share(values), _missing_share(reference)
    scores: dict[Method, float] = {} if distance is None else {method: distance}
    if method == "wasserstein":
        shares = np.array([missing, 1 - missing]), np.array([was_missing, 1 - was_missing])
        scores["jensenshannon"] = float(jensenshannon(*shares)) if missing != was_missing else 0.0
    limits = {each: threshold(each, len(values), len(reference)) for each in scores}
    worst = max(scores, key=lambda each: (scores[each] / limits[each], each == method))
    return ColumnDrift(
        name,
        worst,
        scores[worst],
        limits[worst],
        drifted=scores[worst] >= limits[worst],
        missing_share=missing,
        reference_missing_share=was_missing,
    )


def _missing_share(values: pd.Series) -> float:
    return float((values.isna() | (values == MISSING)).mean())
