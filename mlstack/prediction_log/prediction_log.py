"""The prediction log: a prediction is kept before it is returned.

A server writes to its local spool and nowhere else, so a response never waits for a database. The
keeper, a process of its own, moves the spool to MongoDB.
"""

import logging
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from mlstack.prediction_log.entry import OUTCOME, PREDICTION
from mlstack.prediction_log.prediction import Outcome, Prediction, Source
from mlstack.prediction_log.segment import SpoolError
from mlstack.prediction_log.spool import Spool
from mlstack.settings import Settings

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class PredictionLog:
    """Keeps the predictions and outcomes of this process; thread-safe.

    It opens nothing before `start` or `keep`, so that each child of a forking process has its own
    spool. `source` is part of the spool's file names.
    """

    def __init__(self, settings: Settings, source: Source) -> None:
        self._folder, self._source = settings.spool_path, source
        self._opening = threading.Lock()
        self._spool: Spool | None = None

    def start(self) -> None:
        """Open the spool; `keep` tries again if that fails."""
        try:
            self._open_spool()
        except SpoolError as error:
            log.error("predictions cannot be kept, so no request is answered: %s", error)  # noqa: TRY400 - a sentence

    def stop(self) -> None:
        """Close the spool; the keeper takes what is in it."""
        if self._spool is not None:
            self._spool.close()

    def keep(self, predictions: Sequence[Prediction]) -> None:
        """Keep predictions, all or none; they may be returned afterwards.

        Raises SpoolError if they cannot be kept: return none of them.
        """
        self._append(PREDICTION, (prediction.document() for prediction in predictions))

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes, all or none; their predictions need not be in MongoDB yet.

        Raises SpoolError if they cannot be kept.
        """
        now = datetime.now(UTC)
        self._append(OUTCOME, (outcome.document(now) for outcome in outcomes))

    def _append(self, kind: str, documents: Iterable[dict[str, Any]]) -> None:
        bodies = [_encode(document) for document in documents]
        self._open_spool().append(kind, bodies)

    def _open_spool(self) -> Spool:
        if self._spool is None:
            with self._opening:
                if self._spool is None:
                    self._spool = Spool(self._folder, self._source)
        return self._spool
