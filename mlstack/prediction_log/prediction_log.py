"""The prediction log: answered means kept.

A prediction is written to the local spool before it is answered; the drainer moves it to
MongoDB from there. So an answer never waits for a database, and none is lost to a kill.
"""

import json
import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mlstack.contract import Contract
from mlstack.prediction_log.drainer import OUTCOME, PREDICTION, Backlog, Drainer, Monitor
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.monitor_sink import MonitorSink, NoMonitor
from mlstack.prediction_log.prediction import Origin, Outcome, Prediction, Source
from mlstack.prediction_log.spool import Spool, SpoolError
from mlstack.settings import Settings

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 2.0
"""How long the end of a process may wait for its spool to empty."""


class Observer(Protocol):
    """Is told how the log does, for metrics."""

    def backlog(self, backlog: Backlog, stored: int) -> None:
        """What waits in the spools, and how many were stored since the last call."""

    def monitored(self, count: int) -> None:
        """How many predictions the monitoring service took."""


class PredictionLog:
    """Keeps predictions and outcomes of this process; safe from several of its threads.

    Holds nothing until it is started: a process that forks starts one in each child.

    Args:
        settings: State folder, addresses of MongoDB and of the monitoring service.
        source: The door; names the spool.
        observer: Is told how the log does.
    """

    def __init__(self, settings: Settings, source: Source, observer: Observer) -> None:
        self._folder = settings.state_path / "spool"
        self._source, self._observer = source, observer
        self._mongo_uri, self._monitor_url = settings.mongo_uri, settings.monitor_url
        self._monitor_token = settings.feedback_token if settings.monitor_url else ""
        self._opening = threading.Lock()
        self._spool: Spool | None = None
        self._drainer: Drainer | None = None
        self._sink: MongoSink | None = None
        self._monitor: Monitor = NoMonitor()

    def start(self) -> None:
        """Opens the spool and starts to drain; when it cannot be opened, `keep` tries again.

        Raises:
            SettingsError: MongoDB's address can never work.
        """
        self._sink = MongoSink(self._mongo_uri)
        if self._monitor_url:
            monitor = MonitorSink(self._monitor_url, self._observer.monitored, self._monitor_token)
            monitor.start()
            self._monitor = monitor
        try:
            self._opened()
        except SpoolError as error:
            log.error("nothing can be kept, so nothing is answered: %s", error)  # noqa: TRY400

    def stop(self) -> None:
        """Drains for a moment and ends; what is left is adopted by another process's log."""
        if self._spool is not None and self._drainer is not None:
            deadline = time.monotonic() + _DRAIN_SECONDS
            while self._spool.pending and time.monotonic() < deadline:
                time.sleep(0.05)
            self._drainer.stop()
            self._spool.close()
        if isinstance(self._monitor, MonitorSink):
            self._monitor.stop()
        if self._sink is not None:
            self._sink.close()

    def keep(
        self, predictions: Sequence[Prediction], contract: Contract, origins: Sequence[Origin]
    ) -> None:
        """Keeps predictions, all or none; they may be answered when this returns.

        Args:
            predictions: What is going to be answered.
            contract: The model's contract.
            origins: One for each prediction.

        Raises:
            SpoolError: they cannot be kept: answer none of them.
        """
        now = datetime.now(UTC).isoformat()
        label = {"name": contract.name, "hash": contract.digest}
        documents = [
            _document(prediction, origin, label, now)
            for prediction, origin in zip(predictions, origins, strict=True)
        ]
        self._opened().append(PREDICTION, [_encode(document) for document in documents])

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keeps outcomes, all or none; a prediction may not have reached MongoDB yet.

        Raises:
            SpoolError: they cannot be kept.
        """
        now = datetime.now(UTC).isoformat()
        documents = [
            {"_id": outcome.prediction_id, "target": int(outcome.positive), "target_at": now}
            for outcome in outcomes
        ]
        self._opened().append(OUTCOME, [_encode(document) for document in documents])

    def _opened(self) -> Spool:
        if self._spool is not None:
            return self._spool
        with self._opening:
            if self._spool is None:
                if self._sink is None:
                    raise SpoolError("the prediction log was not started")
                spool = _open_spool(self._folder, self._source)
                self._drainer = Drainer(spool, self._sink, self._monitor, self._observer.backlog)
                self._drainer.start()
                self._spool = spool
            return self._spool


def _open_spool(folder: Path, source: Source) -> Spool:
    try:
        return Spool.of_this_process(folder, source)
    except OSError as error:
        raise SpoolError(f"the spool in {folder} cannot be opened: {error}") from error


def _document(
    prediction: Prediction, origin: Origin, contract: dict[str, str], now: str
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "_id": prediction.prediction_id,
        **prediction.customer,
        "prediction": prediction.chance,
        "model_run_id": prediction.run_id,
        "contract": contract,
        "source": origin.source,
        "created_at": now,
    }
    if origin.sequence_number is not None:
        document["shard_id"] = origin.shard_id
        document["sequence_number"] = origin.sequence_number
    return document


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
