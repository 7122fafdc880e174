"""Prometheus metrics of the prediction log, with the same names in every server."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from mlstack.prediction_log.drainer import Backlog
from mlstack.prediction_log.prediction import Source


class LogMetrics:
    """Exports how many entries are spooled and how many were stored, by server."""

    def __init__(self, registry: CollectorRegistry, source: Source) -> None:
        # The multiprocess modes matter only if workers share a metrics folder.
        spool = Gauge(
            "mlstack_spool_records",
            "Predictions and outcomes that are not stored yet.",
            ("source",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        oldest = Gauge(
            "mlstack_spool_oldest_seconds",
            "Age in seconds of the oldest prediction or outcome that is not stored yet.",
            ("source",),
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._stored = Counter(
            "mlstack_log_stored",
            "Predictions and outcomes that were stored, or accepted by the monitoring service.",
            ("sink",),
            registry=registry,
        )
        self._source, self._spool, self._oldest = source, spool, oldest

    def set_backlog(self, backlog: Backlog, stored: int) -> None:
        """Update the backlog gauges and count entries stored since the last call."""
        self._spool.labels(self._source).set(backlog.records)
        self._oldest.labels(self._source).set(backlog.oldest_seconds)
        self._stored.labels("mongodb").inc(stored)

    def count_monitored(self, count: int) -> None:
        """Count predictions that the monitoring service accepted."""
        self._stored.labels("monitor").inc(count)
