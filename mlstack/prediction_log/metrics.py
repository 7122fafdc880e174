"""Prometheus metrics of the log keeper."""

import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from mlstack.heartbeat import Heartbeat
from mlstack.prediction_log.entry import KINDS
from mlstack.prediction_log.prediction import LIVE_SOURCES
from mlstack.prediction_log.quarantine import FILE
from mlstack.prediction_log.segment_view import Backlog

# A damaged entry may claim any kind, and every label is a time series.
_KINDS = (*KINDS, FILE)


class KeeperMetrics:
    """Exports what waits in the spool, what was stored, and what is in quarantine."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._spool = Gauge(
            "mlstack_spool_records",
            "Predictions and outcomes that are not stored yet.",
            ("source",),
            registry=self.registry,
        )
        self._oldest = Gauge(
            "mlstack_spool_oldest_seconds",
            "Age in seconds of the oldest prediction or outcome that is not stored yet.",
            ("source",),
            registry=self.registry,
        )
        self._stored = Counter(
            "mlstack_log_stored",
            "Predictions and outcomes that were stored, or accepted by the monitoring service.",
            ("sink",),
            registry=self.registry,
        )
        self._quarantined = Counter(
            "mlstack_quarantined",
            "Entries that can never be stored and went to quarantine.",
            ("kind",),
            registry=self.registry,
        )
        self._quarantine = Gauge(
            "mlstack_quarantine_records",
            "Entries that are in quarantine.",
            registry=self.registry,
        )
        self._sources: set[str] = {*LIVE_SOURCES}

    def set_backlog(self, backlogs: Mapping[str, Backlog]) -> None:
        """Set what waits, by source; a source without entries counts as empty."""
        self._sources |= backlogs.keys()
        for source in self._sources:
            found = backlogs.get(source, Backlog(0, None))
            age = 0.0 if found.oldest_at is None else max(0.0, time.time() - found.oldest_at)
            self._spool.labels(source).set(found.records)
            self._oldest.labels(source).set(age)

    def set_quarantine(self, count: int) -> None:
        """Set the number of entries in quarantine."""
        self._quarantine.set(count)

    def watch_member(self, member: Heartbeat) -> None:
        """Show whether this machine reaches the deployment record that it shares with others."""
        Gauge(
            "mlstack_deployment_cut_off",
            "Whether the deployment record of several machines cannot be followed here.",
            registry=self.registry,
        ).set_function(lambda: not member.check().ready)

    def count_stored(self, count: int) -> None:
        """Count entries that MongoDB has."""
        self._stored.labels("mongodb").inc(count)

    def count_monitored(self, count: int) -> None:
        """Count predictions that the monitoring service accepted."""
        self._stored.labels("monitor").inc(count)

    def count_quarantined(self, kind: str, count: int) -> None:
        """Count entries that went to quarantine."""
        self._quarantined.labels(kind if kind in _KINDS else "unknown").inc(count)
