"""Post predictions to the monitoring service, best-effort and bounded."""

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import requests

from mlstack.contract.prediction_fields import (
    CONTRACT,
    DECISION,
    MORE,
    PREDICTION,
    PREDICTION_ID,
    PROBABILITIES,
    RESERVED_NAMES,
    RUN_ID,
)
from mlstack.prediction_log.entry import Document
from mlstack.prediction_log.prediction import ID
from mlstack.waiting import Outage, Stop

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Maximum number of queued predictions; beyond that the oldest are dropped."""

_BATCH = 1000
_TIMEOUT_SECONDS = 5
_RETRY_SECONDS = 5.0

# The monitor takes features, prediction, probabilities, decision and run, and the id, by which it
# detects repetitions and finds the outcome.
_NOT_MONITORED = {ID, MORE, *RESERVED_NAMES} - {PREDICTION, RUN_ID}
_MONITORED = {PROBABILITIES, DECISION}
_SERVER_ERROR = 500


class MonitorSink:
    """Posts predictions to `<url>/iterate/<contract name>` from its own thread.

    `count_accepted` is called with the number of predictions that the service accepted.
    """

    def __init__(self, url: str, count_accepted: Callable[[int], None], token: str = "") -> None:
        self._url, self._count_accepted = url.rstrip("/"), count_accepted
        self._waiting: deque[Document] = deque(maxlen=MAX_WAITING)
        self._given = threading.Event()
        self._stop = Stop()
        self._outage = Outage(log, "posting to the monitoring service")
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._thread = threading.Thread(target=self._run, name="monitor-sink", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and drop queued predictions."""
        self._stop.request()
        self._given.set()
        self._thread.join()
        self._session.close()

    def tell(self, predictions: Sequence[Document]) -> None:
        """Queue stored predictions; return at once."""
        # A replayed document may lack the contract, without which nothing can be compared.
        self._waiting.extend(p for p in predictions if "name" in (p.get(CONTRACT) or {}))
        self._given.set()

    def _run(self) -> None:
        while not self._stop.requested:
            self._given.wait()
            self._given.clear()
            while self._waiting and not self._stop.requested:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                if not self._post(batch):
                    # Put them back at the front, as far as there is room.
                    free = MAX_WAITING - len(self._waiting)
                    self._waiting.extendleft(reversed(batch[-free:] if free else []))
                    self._stop.wait(_RETRY_SECONDS)

    def _post(self, predictions: list[Document]) -> bool:
        """Post predictions by contract; return False if they must be posted again."""
        by_contract: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for prediction in predictions:
            by_contract[prediction[CONTRACT]["name"]].append(monitored_row(prediction))
        for name, rows in by_contract.items():
            try:
                answer = self._session.post(
                    f"{self._url}/iterate/{name}", json=rows, timeout=_TIMEOUT_SECONDS
                )
            except requests.RequestException as error:
                self._outage.failed(error)
                return False
            if answer.status_code >= _SERVER_ERROR:
                self._outage.failed(f"it answers with status {answer.status_code}")
                return False
            self._outage.succeeded()
            self._count_accepted(_accepted(answer, len(rows)))
            if not answer.ok:
                # They are not sent again: it would reject them again.
                log.warning("the monitoring service rejected rows: %s", answer.text[:300])
        return True


def monitored_row(prediction: Document) -> dict[str, Any]:
    """Return what the monitoring service takes of a stored prediction."""
    row = {key: value for key, value in prediction.items() if key not in _NOT_MONITORED}
    row[PREDICTION_ID] = prediction[ID]
    if more := {k: v for k, v in prediction.get(MORE, {}).items() if k in _MONITORED}:
        row[MORE] = more
    return row


def _accepted(answer: requests.Response, sent: int) -> int:
    """Return how many rows the service accepted; it may reject some of them."""
    if answer.ok:
        return sent
    try:
        return int(answer.json()["accepted"])
    except (ValueError, KeyError, TypeError):
        return 0


class NoMonitor:
    """Used where no monitoring service runs."""

    def tell(self, predictions: Sequence[Document]) -> None:
        """Do nothing."""
