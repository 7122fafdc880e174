"""Export the monitor's state as metrics at each scrape.

An unknown value has no series, because a placeholder would be plotted and could trigger alerts.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from mlstack.quality.results import Quality
from monitoring.evidently_service.monitor import Monitor

if TYPE_CHECKING:
    # Importing it loads Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation, Calculator, Distribution

__all__ = ["CONTENT_TYPE", "Metrics"]

_QUALITY = {
    "rmse": "Root mean squared error of the predicted probabilities.",
    "logloss": "Logarithmic loss of the predicted probabilities.",
    "auc": "Area under the ROC curve.",
    "calibration_error": "Expected calibration error, ten bins.",
    "coverage": "Share of the rows that the figures are based on.",
}


class Metrics:
    """The service's metrics; `dataset` is the contract's name."""

    def __init__(self, monitor: Monitor, dataset: str) -> None:
        self._monitor, self._dataset = monitor, dataset
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
        rows = GaugeMetricFamily(
            "evidently:reference_rows",
            "Rows of the reference: training rows of this run.",
            labels=("dataset", "model_run_id"),
        )
        rows.add_metric((self._dataset, reference.run_id), len(reference.rows))
        yield rows
        if reference.quality is not None:
            about = "at training, on validation rows"
            yield from self._quality("reference_quality", about, reference.quality)
        yield from self._chances("reference_prediction", calculator.reference_chances)

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
                (
                    "score",
                    "Distance of the predicted probabilities from the reference's.",
                    prediction.score,
                ),
                (
                    "threshold",
                    "Smallest distance at which the predicted probabilities have drifted.",
                    prediction.threshold,
                ),
                ("drifted", "1: the predicted probabilities have drifted.", prediction.drifted),
            ):
                yield self._gauge(f"prediction_drift:{name}", about, value)
        about = "on the window's rows whose outcome is known"
        if calculation.measured is not None:
            yield from self._quality("quality", about, calculation.measured)
        elif calculation.predictions:
            # It tells how far the outcomes are from being enough.
            share = calculation.outcomes / calculation.predictions
            yield self._gauge("quality:coverage", f"{_QUALITY['coverage'][:-1]}; {about}.", share)
        if calculation.estimated is not None:
            about = "estimated from the model's own predicted probabilities"
            yield from self._quality("estimated_quality", about, calculation.estimated)
        if calculation.chances is not None:
            yield from self._chances("prediction", calculation.chances)

    def _quality(self, prefix: str, about: str, quality: Quality) -> Iterator[Metric]:
        for name, meaning in _QUALITY.items():
            value = getattr(quality, name)
            if value is not None:
                yield self._gauge(f"{prefix}:{name}", f"{meaning[:-1]}; {about}.", value)

    def _chances(self, prefix: str, chances: "Distribution") -> Iterator[Metric]:
        from monitoring.evidently_service.calculation import EDGES  # noqa: PLC0415 - as above

        yield self._gauge(f"{prefix}:mean", "Mean predicted probability.", chances.mean)
        # Gauges, because a histogram's counts must not fall, but the window slides.
        buckets = GaugeMetricFamily(
            f"evidently:{prefix}:bucket",
            "Rows with at most this predicted probability.",
            labels=("dataset", "le"),
        )
        for edge, count in zip(EDGES, chances.below, strict=True):
            buckets.add_metric((self._dataset, str(edge)), count)
        buckets.add_metric((self._dataset, "+Inf"), chances.below[-1])
        yield buckets

    def _gauge(self, name: str, about: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"evidently:{name}", about, labels=("dataset",))
        family.add_metric((self._dataset,), float(value))
        return family

    def _counter(self, name: str, about: str, value: float) -> Metric:
        family = CounterMetricFamily(f"evidently:{name}", about, labels=("dataset",))
        family.add_metric((self._dataset,), value)
        return family
