"""Export the monitor's state as metrics at each scrape.

An unknown value has no series, because a placeholder would be plotted and could trigger alerts.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from mlstack.contract import Contract
from mlstack.contract.target import MulticlassTarget
from mlstack.quality.results import (
    BinaryQuality,
    MulticlassQuality,
    Quality,
    RegressionQuality,
)
from monitoring.evidently_service.monitor import Monitor

if TYPE_CHECKING:
    # Importing it loads Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation, Calculator, Predictions

__all__ = ["CONTENT_TYPE", "Metrics"]

_COVERAGE = "Share of the rows that the figures are based on"
_QUALITY: Mapping[type[Quality], Mapping[str, str]] = {
    BinaryQuality: {
        "rmse": "Root mean squared error of the predicted probabilities",
        "logloss": "Logarithmic loss of the predicted probabilities",
        "auc": "Area under the ROC curve",
        "calibration_error": "Expected calibration error, ten bins",
        "coverage": _COVERAGE,
    },
    RegressionQuality: {
        "mae": "Mean absolute error of the predicted numbers",
        "rmse": "Root mean squared error of the predicted numbers",
        "r2": "Share of the outcomes' variance that is predicted",
        "coverage": _COVERAGE,
    },
    MulticlassQuality: {
        "logloss": "Logarithmic loss of the predicted probabilities",
        "auc": "Mean area under the ROC curves of each class against the others",
        "accuracy": "Share of the outcomes that are the predicted class",
        "coverage": _COVERAGE,
    },
}
"""Figures of each kind that are gauges of their own, and their meaning."""

_MOST_CLASSES = 20
"""With more classes, the confusion has too many time series."""


class Metrics:
    """The service's metrics; their label `dataset` is the contract's name."""

    def __init__(self, monitor: Monitor, contract: Contract) -> None:
        self._monitor, self._dataset = monitor, contract.name
        target = contract.target
        self._classes = target.classes if isinstance(target, MulticlassTarget) else ()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """Render the metrics in Prometheus text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        monitor, state = self._monitor, self._monitor.state
        yield self._gauge("window_rows", "Rows in the window.", len(monitor.window))
        yield self._gauge(
            "calculation_age_seconds",
            "Age of the figures; grows while calculations fail.",
            monitor.age_seconds,
        )
        yield self._gauge(
            "outcomes_reachable",
            "1: MongoDB can be read; 0: it cannot be read.",
            not monitor.storage_fault,
        )
        yield self._counter("rows", "Rows accepted, without repetitions.", monitor.taken)
        yield self._counter(
            "rows_refused", "Rows rejected because they violate the contract.", monitor.refused
        )
        yield self._counter("calculation_failures", "Failed calculations.", monitor.failures)
        if state.calculator is not None:
            yield from self._reference(state.calculator)
        if state.calculation is not None:
            yield from self._calculation(state.calculation)

    def _reference(self, calculator: "Calculator") -> Iterator[Metric]:
        reference = calculator.reference
        yield self._family(
            "reference_rows",
            "Rows of the reference: training rows of this run.",
            ("model_run_id",),
            {(reference.run_id,): len(reference.rows)},
        )
        if reference.quality is not None:
            about = "at training, on validation rows"
            yield from self._quality("reference_quality", about, reference.quality)
        yield from self._predictions("reference_prediction", calculator.reference_distribution)

    def _calculation(self, calculation: "Calculation") -> Iterator[Metric]:
        yield self._gauge(
            "calculation_seconds", "Duration of the last calculation.", calculation.seconds
        )
        drift, prediction = calculation.drift, calculation.prediction
        for name, about, value in (
            ("share_drifted_features", "Share of the features that drifted.", drift.share_drifted),
            ("n_drifted_features", "Number of features that drifted.", len(drift.drifted_features)),
            ("dataset_drift", "1: at least one feature drifted.", drift.drifted),
        ):
            yield self._gauge(f"data_drift:{name}", about, value)
        for name, about, field in (
            ("data_drift:score", "Distance of the feature from the reference.", "score"),
            (
                "data_drift:threshold",
                "Smallest distance at which the feature has drifted.",
                "threshold",
            ),
            ("data_drift:drifted", "1: the feature has drifted.", "drifted"),
            (
                "data_quality:missing_share",
                "Share of the window's rows in which the feature is missing.",
                "missing_share",
            ),
        ):
            family = GaugeMetricFamily(f"evidently:{name}", about, labels=("dataset", "feature"))
            for feature in drift.features:
                family.add_metric((self._dataset, feature.column), float(getattr(feature, field)))
            yield family
        if prediction is not None:
            for name, about, value in (
                ("score", "Distance of the predictions from the reference's.", prediction.score),
                (
                    "threshold",
                    "Smallest distance at which the predictions have drifted.",
                    prediction.threshold,
                ),
                ("drifted", "1: the predictions have drifted.", prediction.drifted),
            ):
                yield self._gauge(f"prediction_drift:{name}", about, value)
        about = "on the window's rows whose outcome is known"
        if calculation.measured is not None:
            yield from self._quality("quality", about, calculation.measured)
        elif calculation.predictions:
            # It tells how far the outcomes are from being enough.
            share = calculation.outcomes / calculation.predictions
            yield self._gauge("quality:coverage", f"{_COVERAGE}; {about}.", share)
        if calculation.estimated is not None:
            about = "estimated from the model's own predicted probabilities"
            yield from self._quality("estimated_quality", about, calculation.estimated)
        if calculation.distribution is not None:
            yield from self._predictions("prediction", calculation.distribution)

    def _quality(self, prefix: str, about: str, quality: Quality) -> Iterator[Metric]:
        for name, meaning in _QUALITY[type(quality)].items():
            value = getattr(quality, name)
            if value is not None:
                yield self._gauge(f"{prefix}:{name}", f"{meaning}; {about}.", value)
        if isinstance(quality, RegressionQuality) and quality.deviations:
            yield self._family(
                f"{prefix}:deviation_share",
                f"Share of the predictions that deviate by more than a threshold; {about}.",
                ("over",),
                {(f"{limit:.15g}",): share for limit, share in quality.deviations},
            )
        if isinstance(quality, BinaryQuality) and (made := quality.decisions) is not None:
            yield self._family(
                f"{prefix}:decisions",
                f"Decisions by the contract's threshold; {about}.",
                ("decision", "outcome"),
                {
                    ("yes", "positive"): made.right_yes,
                    ("yes", "negative"): made.wrong_yes,
                    ("no", "negative"): made.right_no,
                    ("no", "positive"): made.wrong_no,
                },
            )
        has_few_classes = len(self._classes) <= _MOST_CLASSES
        if isinstance(quality, MulticlassQuality) and quality.confusion and has_few_classes:
            yield self._family(
                f"{prefix}:confusion",
                f"Rows by outcome and predicted class; {about}.",
                ("outcome", "predicted"),
                {
                    (outcome, predicted): count
                    for outcome, counts in zip(self._classes, quality.confusion, strict=True)
                    for predicted, count in zip(self._classes, counts, strict=True)
                },
            )

    def _predictions(self, prefix: str, predictions: "Predictions") -> Iterator[Metric]:
        from monitoring.evidently_service.calculation import ClassCounts  # noqa: PLC0415 - as above

        if isinstance(predictions, ClassCounts):
            yield self._family(
                f"{prefix}:class_rows",
                "Rows in which the class is predicted.",
                ("class",),
                {(label,): count for label, count in predictions.counts.items()},
            )
            return
        yield self._gauge(f"{prefix}:mean", "Mean prediction.", predictions.mean)
        # Gauges, because a histogram's counts must not fall, but the window slides.
        yield self._family(
            f"{prefix}:bucket",
            "Rows with at most this prediction.",
            ("le",),
            {
                ("+Inf" if edge == inf else str(edge),): count
                for edge, count in zip(predictions.edges, predictions.below, strict=True)
            },
        )

    def _family(
        self, name: str, about: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]
    ) -> Metric:
        family = GaugeMetricFamily(f"evidently:{name}", about, labels=("dataset", *labels))
        for names, value in values.items():
            family.add_metric((self._dataset, *names), float(value))
        return family

    def _gauge(self, name: str, about: str, value: float) -> Metric:
        return self._family(name, about, (), {(): value})

    def _counter(self, name: str, about: str, value: float) -> Metric:
        family = CounterMetricFamily(f"evidently:{name}", about, labels=("dataset",))
        family.add_metric((self._dataset,), value)
        return family
