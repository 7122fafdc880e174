"""The HTTP server's metrics, summed over all worker processes, even dead ones."""

import os
import struct
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

# A prediction takes half a millisecond, a full batch about ten, a waiting request up to a second.
_BUCKETS = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075),
    *(0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0),
)
_LOADED = "mlstack_model_loaded"


class Metrics:
    """The HTTP server's metrics.

    If PROMETHEUS_MULTIPROC_DIR names a folder, they cover all processes that share it, otherwise
    this one. prometheus_client reads the variable when it is imported.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "mlstack_http_requests",
            "Requests answered, by the route's template.",
            ("route", "status"),
            registry=self._registry,
        )
        self._duration = Histogram(
            "mlstack_http_request_duration_seconds",
            "Time from a request's head to its answer.",
            ("route", "status"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._predictions = Counter(
            "mlstack_predictions",
            "Predictions returned.",
            ("source", "model_run_id"),
            registry=self._registry,
        )
        self._by_flask = Counter(
            "mlstack_http_plain_requests_answered_by_flask",
            "Valid requests that the fast path did not take: each is a defect of it.",
            registry=self._registry,
        )
        self._loaded = Gauge(
            _LOADED,
            "1: the model that a worker of this server has in use.",
            ("model_run_id",),
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._loaded_run_id: str | None = None
        self._children: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a completed request."""
        self._count(route, status, [seconds])

    def answered(self, requests: Iterable[tuple[str, float]], count: int, run_id: str) -> None:
        """Count requests (route, seconds) that were answered at once, and their predictions."""
        seconds: dict[str, list[float]] = {}
        for route, taken in requests:
            seconds.setdefault(route, []).append(taken)
        for route, taken_by_each in seconds.items():
            self._count(route, HTTPStatus.OK, taken_by_each)
        self.predictions(count, run_id)

    def answered_by_flask(self) -> None:
        """Count a valid request that the fast path did not take."""
        self._by_flask.inc()

    def _count(self, route: str, status: int, seconds: Sequence[float]) -> None:
        children = self._children.get((route, status))
        if children is None:
            labels = (route, str(status))
            children = self._requests.labels(*labels), self._duration.labels(*labels)
            self._children[route, status] = children
        children[0].inc(len(seconds))
        _observe(children[1], seconds)

    def predictions(self, count: int, run_id: str) -> None:
        """Count returned predictions."""
        self._predictions.labels("api", run_id).inc(count)

    def model_loaded(self, run_id: str | None) -> None:
        """Set the model that this process uses; None means no model."""
        if self._loaded_run_id is not None:
            # Otherwise the old series would stay at 1 in the shared files.
            self._loaded.labels(self._loaded_run_id).set(0)
        if run_id is not None:
            self._loaded.labels(run_id).set(1)
        self._loaded_run_id = run_id

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        registry = CollectorRegistry()
        registry.register(_Workers(folder) if folder else _InProcess(self._registry))
        return generate_latest(registry)


def _observe(histogram: Histogram, seconds: Sequence[float]) -> None:
    """Observe several values at once; `Histogram` has no method for that."""
    histogram._sum.inc(sum(seconds))  # noqa: SLF001 - there is no other way
    for place, count in Counts(bisect_left(_BUCKETS, each) for each in seconds).items():
        histogram._buckets[place].inc(count)  # noqa: SLF001 - as above


class _InProcess:
    """A registry's metrics, without models that are no longer in use."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return _without_unloaded(self._registry.collect())


class _Workers(MultiProcessCollector):
    """The metrics of all processes that share a folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(None, folder)  # type: ignore[no-untyped-call]  # it has no types
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        files = [str(file) for file in self._folder.glob("*.db") if _has_content(file)]
        return _without_unloaded(self.merge(files))  # type: ignore[no-untyped-call]  # as above


def _has_content(file: Path) -> bool:
    """Whether a file is readable; new files are empty for a moment."""
    try:
        return file.stat().st_size >= struct.calcsize("i")
    except FileNotFoundError:
        return False


def _without_unloaded(metrics: Iterable[Metric]) -> Iterable[Metric]:
    for metric in metrics:
        if metric.name == _LOADED:
            metric.samples = [sample for sample in metric.samples if sample.value]
        yield metric
