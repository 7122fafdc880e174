"""The prediction log: a prediction is kept before it is returned.

Predictions are first written to the local spool, from which the drainer moves them to MongoDB. A
response therefore never waits for a database, and no returned prediction is lost when a process is
killed.
"""

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from mlstack.prediction_log.drainer import OUTCOME, PREDICTION, Drainer, Monitor
from mlstack.prediction_log.metrics import LogMetrics
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.monitor_sink import MonitorSink, NoMonitor
from mlstack.prediction_log.prediction import Outcome, Prediction, Source
from mlstack.prediction_log.spool import Spool, SpoolError
from mlstack.settings import Settings
from mlstack.waiting import Unavailable, wait_until

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 2.0
"""How long a stopping process waits for its spool to empty."""


class PredictionLog:
    """Keeps the predictions and outcomes of this process; thread-safe.

    It opens nothing before `start`, so that each child of a forking process starts its own.
    `source` is part of the spool's file name.
    """

    def __init__(self, settings: Settings, source: Source, metrics: LogMetrics) -> None:
        self._folder = settings.state_path / "spool"
        self._source, self._metrics = source, metrics
        self._mongo_uri, self._monitor_url = settings.mongo_uri, settings.monitor_url
        self._monitor_token = settings.feedback_token if settings.monitor_url else ""
        self._opening = threading.Lock()
        self._spool: Spool | None = None
        self._drainer: Drainer | None = None
        self._sink: MongoSink | None = None
        self._monitor: Monitor = NoMonitor()

    def start(self) -> None:
        """Open the spool and start draining; `keep` retries if opening fails.

        Raises SettingsError if the MongoDB URI can never work.
        """
        self._sink = MongoSink(self._mongo_uri)
        if self._monitor_url:
            monitor = MonitorSink(
                self._monitor_url, self._metrics.count_monitored, self._monitor_token
            )
            monitor.start()
            self._monitor = monitor
        try:
            self._open_spool()
        except SpoolError as error:
            log.error("predictions cannot be stored, so no request is answered: %s", error)  # noqa: TRY400 - a sentence

    def stop(self) -> None:
        """Drain briefly, then close; another process's log adopts the rest."""
        if self._spool is not None and self._drainer is not None:
            spool = self._spool
            with suppress(Unavailable):
                wait_until(
                    lambda: not spool.pending, "entries are left", _DRAIN_SECONDS, every=0.05
                )
            self._drainer.stop()
            self._spool.close()
        if isinstance(self._monitor, MonitorSink):
            self._monitor.stop()
        if self._sink is not None:
            self._sink.close()

    def keep(self, predictions: Sequence[Prediction]) -> None:
        """Keep predictions, all or none; they may be returned afterwards.

        Raises SpoolError if they cannot be kept: return none of them.
        """
        self._append(PREDICTION, [prediction.document() for prediction in predictions])

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes, all or none; their predictions need not be in MongoDB yet.

        Raises SpoolError if they cannot be kept.
        """
        now = datetime.now(UTC)
        self._append(OUTCOME, [outcome.document(now) for outcome in outcomes])

    def _append(self, kind: str, documents: Sequence[dict[str, Any]]) -> None:
        bodies = [json.dumps(document, separators=(",", ":")).encode() for document in documents]
        self._open_spool().append(kind, bodies)

    def _open_spool(self) -> Spool:
        if self._spool is not None:
            return self._spool
        with self._opening:
            if self._spool is None:
                if self._sink is None:
                    raise SpoolError("the prediction log was not started")
                try:
                    spool = Spool.of_this_process(self._folder, self._source)
                except OSError as error:
                    raise SpoolError(
                        f"the spool in {self._folder} cannot be opened: {error}"
                    ) from error
                self._drainer = Drainer(spool, self._sink, self._monitor, self._metrics.set_backlog)
                self._drainer.start()
                self._spool = spool
            return self._spool
