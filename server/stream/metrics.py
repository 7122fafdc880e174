"""Prometheus metrics of the stream server."""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics_core import GaugeMetricFamily, Metric


class ShardGauge:
    """Lag and checkpoint age of one shard; both grow while it makes no progress."""

    def __init__(self, *, sees_empty_reads: bool) -> None:
        self._sees_empty_reads = sees_empty_reads
        self._lag_seconds = 0.0
        self._oldest_at: float | None = None
        self._settled_at = time.monotonic()

    def in_hand(self, oldest: datetime) -> None:
        """Record that a batch is being answered, with its oldest arrival time."""
        if self._is_idle:
            self._settled_at = time.monotonic()
        self._oldest_at = oldest.timestamp()

    def settled(self, lag_seconds: float) -> None:
        """Record that everything read is checkpointed, with Kinesis' own lag."""
        self._lag_seconds, self._oldest_at = lag_seconds, None
        self._settled_at = time.monotonic()

    @property
    def lag_seconds(self) -> float:
        """How far the results are behind the newest record."""
        oldest_at = self._oldest_at
        return self._lag_seconds if oldest_at is None else max(0.0, time.time() - oldest_at)

    @property
    def checkpoint_age_seconds(self) -> float:
        """Time since everything read was checkpointed."""
        return 0.0 if self._is_idle else time.monotonic() - self._settled_at

    @property
    def _is_idle(self) -> bool:
        """Whether no batch is running and empty reads are not reported."""
        return self._oldest_at is None and not self._sees_empty_reads


class StreamMetrics:
    """The stream server's metrics; thread-safe."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._shards: dict[str, ShardGauge] = {}
        self._lock = threading.Lock()
        self.registry.register(self)
        self._records = Counter(
            "mlstack_stream_records",
            "Records processed, by outcome.",
            ("outcome",),
            registry=self.registry,
        )
        self._lost = Counter(
            "mlstack_stream_checkpoint_lost",
            "Checkpoints whose position is no longer in the stream; their shards were read from "
            "the start.",
            registry=self.registry,
        )
        self._predictions = Counter(
            "mlstack_predictions",
            "Predictions returned.",
            ("source", "model_run_id"),
            registry=self.registry,
        )
        self._loaded = Gauge(
            "mlstack_model_loaded",
            "1: the model that is in use.",
            ("model_run_id",),
            registry=self.registry,
        )
        for outcome in ("answered", "dead_letter"):
            self._records.labels(outcome)

    def answered(self, count: int, run_id: str) -> None:
        """Count answered records."""
        if count:
            self._records.labels("answered").inc(count)
            self._predictions.labels("kinesis", run_id).inc(count)

    def dead_lettered(self, count: int) -> None:
        """Count records that became dead letters."""
        self._records.labels("dead_letter").inc(count)

    def checkpoint_lost(self, count: int = 1) -> None:
        """Count checkpoints whose position is no longer in the stream."""
        self._lost.inc(count)

    def model_loaded(self, run_id: str | None) -> None:
        """Set the run of the model in use; None means no model."""
        self._loaded.clear()
        if run_id is not None:
            self._loaded.labels(run_id).set(1)

    @contextmanager
    def reading(self, shard_id: str, *, sees_empty_reads: bool = True) -> Iterator[ShardGauge]:
        """Export a shard's metrics until the block ends.

        If the engine does not see empty reads, a shard without new records does not count as
        stalled.
        """
        gauge = ShardGauge(sees_empty_reads=sees_empty_reads)
        with self._lock:
            self._shards[shard_id] = gauge
        try:
            yield gauge
        finally:
            with self._lock:
                if self._shards.get(shard_id) is gauge:
                    del self._shards[shard_id]

    def collect(self) -> Iterable[Metric]:
        """Return the gauges of all shards; called at each scrape."""
        lag = GaugeMetricFamily(
            "mlstack_stream_lag_seconds",
            "How far behind the newest record the shard's answers are.",
            labels=("shard_id",),
        )
        age = GaugeMetricFamily(
            "mlstack_stream_checkpoint_age_seconds",
            "Time since everything read from the shard was checkpointed.",
            labels=("shard_id",),
        )
        with self._lock:
            gauges = dict(self._shards)
        for shard_id, gauge in gauges.items():
            lag.add_metric((shard_id,), gauge.lag_seconds)
            age.add_metric((shard_id,), gauge.checkpoint_age_seconds)
        return (lag, age)
