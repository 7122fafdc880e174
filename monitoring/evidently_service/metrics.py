"""What Prometheus is told: the state as it is at the moment it asks.

What is not known has no series: a value that stands for it would be drawn and alarmed about.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from mlstack.quality.results import Quality
from monitoring.evidently_service.monitor import Monitor

if TYPE_CHECKING:
    # It imports Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation, Calculator, Distribution

__all__ = ["CONTENT_TYPE", "Metrics"]

_QUALITY = {
    "rmse": "Root of the mean squared error of the chances.",
    "logloss": "Logarithmic loss of the chances.",
    "auc": "Area under the ROC curve.",
    "calibration_error": "Expected calibration error, ten bins.",
    "coverage": "Share of the rows that the figures are taken from.",
}


class Metrics:
    """The service's metrics.

    Args:
        monitor: What knows everything.
        dataset: The contract's name.
    """

    def __init__(self, monitor: Monitor, dataset: str) -> None:
        self._monitor, self._dataset = monitor, dataset
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def render(self) -> bytes:
        """The exposition, in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Every family of metrics."""
        monitor, state = self._monitor, self._monitor.state
        yield self._gauge("window_rows", "Rows in the window.", len(monitor.window))
        yield self._gauge(
            "calculation_age_seconds",
            "Since when the figures may be out of date; grows while calculations fail.",
            monitor.age_seconds,
        )
        yield self._gauge(
            "outcomes_reachable",
            "1: rows and outcomes could be read from MongoDB; 0: they could not.",
            not monitor.storage_fault,
        )
        yield self._counter("rows", "Rows taken, repetitions not counted.", monitor.taken)
        yield self._counter("rows_refused", "Rows that did not fit the contract.", monitor.refused)
        yield self._counter("calculation_failures", "Failed calculations.", monitor.failures)
        if state.calculator is not None:
            yield from self._reference(state.calculator)
        if state.calculation is not None:
            yield from self._calculation(state.calculation)

    def _reference(self, calculator: "Calculator") -> Iterator[Metric]:
        reference = calculator.reference
        rows = GaugeMetricFamily(
            "evidently:reference_rows",
            "Rows of the reference: training data of this run.",
            labels=("dataset", "model_run_id"),
        )
        rows.add_metric((self._dataset, reference.run_id), len(reference.rows))
        yield rows
        if reference.quality is not None:
            about = "when the model was chosen, on rows it had not learnt from"
            yield from self._quality("reference_quality", about, reference.quality)
        yield from self._chances("reference_prediction", calculator.reference_chances)

    def _calculation(self, found: "Calculation") -> Iterator[Metric]:
        drift = found.drift
        yield self._gauge(
            "calculation_seconds", "How long the last calculation took.", found.seconds
        )
        for name, about, value in (
            ("share_drifted_features", "Share of the features that drifted.", drift.share_drifted),
            (
                "n_drifted_features",
                "Number of features that drifted.",
                len(drift.drifted_features),
            ),
            ("dataset_drift", "1: at least one feature drifted.", drift.drifted),
        ):
            yield self._gauge(f"data_drift:{name}", about, value)
        features = {feature.column: feature for feature in drift.features}
        yield self._by_feature(
            "data_drift:score",
            "Distance of the feature from the reference.",
            {name: feature.score for name, feature in features.items()},
        )
        yield self._by_feature(
            "data_drift:threshold",
            "From which distance on the feature has drifted.",
            {name: feature.threshold for name, feature in features.items()},
        )
        yield self._by_feature(
            "data_drift:drifted",
            "1: the feature has drifted.",
            {name: feature.drifted for name, feature in features.items()},
        )
        yield self._by_feature(
            "data_quality:missing_share",
            "Share of the window's rows in which the feature is missing.",
            {name: feature.missing_share for name, feature in features.items()},
        )
        if found.prediction is not None:
            for name, about, value in (
                ("score", "Distance of the chances from the reference's.", found.prediction.score),
                ("threshold", "From which distance on they drifted.", found.prediction.threshold),
                ("drifted", "1: the chances have drifted.", found.prediction.drifted),
            ):
                yield self._gauge(f"prediction_drift:{name}", about, value)
        if found.measured is not None:
            about = "on the window's rows whose outcome is known"
            yield from self._quality("quality", about, found.measured)
        if found.estimated is not None:
            about = "an estimate, as the model's own chances foretell it"
            yield from self._quality("estimated_quality", about, found.estimated)
        if found.chances is not None:
            yield from self._chances("prediction", found.chances)

    def _quality(self, prefix: str, about: str, quality: Quality) -> Iterator[Metric]:
        for name, meaning in _QUALITY.items():
            value = getattr(quality, name)
            if value is not None:
                yield self._gauge(f"{prefix}:{name}", f"{meaning[:-1]}; {about}.", value)

    def _chances(self, prefix: str, chances: "Distribution") -> Iterator[Metric]:
        from monitoring.evidently_service.calculation import EDGES  # noqa: PLC0415 - as above

        yield self._gauge(f"{prefix}:mean", "Mean chance.", chances.mean)
        # A gauge for each bucket: the window slides, and a histogram's counts must not fall.
        buckets = GaugeMetricFamily(
            f"evidently:{prefix}:bucket", "Rows up to a chance.", labels=("dataset", "le")
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

    def _by_feature(self, name: str, about: str, values: Mapping[str, float]) -> Metric:
        family = GaugeMetricFamily(f"evidently:{name}", about, labels=("dataset", "feature"))
        for feature, value in values.items():
            family.add_metric((self._dataset, feature), float(value))
        return family
