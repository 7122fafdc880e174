"""Tells the monitoring service of predictions: best effort, bounded, in nobody's way."""

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Any

import requests

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Predictions that wait for the monitor at most; the oldest ones are given up first."""

_BATCH = 1000
_TIMEOUT_SECONDS = 5
_RETRY_SECONDS = 5.0

# What a stored prediction carries beside what the monitor takes: features, prediction, the run,
# and the id by which it is never counted twice and its outcome is found.
_NOT_MONITORED = frozenset(
    {"_id", "contract", "source", "created_at", "shard_id", "sequence_number"}
)
_SERVER_ERROR = 500


class MonitorSink:
    """Posts predictions to `<url>/iterate/<contract name>` from a thread of its own.

    Args:
        url: The monitoring service's address.
        observe: Is given the number of predictions that the service took.
        token: What the service wants of its callers; empty: nothing.
    """

    def __init__(self, url: str, observe: Callable[[int], None], token: str = "") -> None:
        self._url, self._observe = url.rstrip("/"), observe
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self._given = threading.Event()
        self._stopping = threading.Event()
        self._session = requests.Session()
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="monitor-sink", daemon=True)

    def start(self) -> None:
        """Starts to post; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread; what waits is given up."""
        self._stopping.set()
        self._given.set()
        self._thread.join()
        self._session.close()

    def tell(self, predictions: Sequence[dict[str, Any]]) -> None:
        """Takes stored predictions over; returns at once."""
        self._waiting.extend(predictions)
        self._given.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._given.wait()
            self._given.clear()
            while self._waiting and not self._stopping.is_set():
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                if not self._post(batch):
                    # Back to where they were, as far as newer ones have not taken their place.
                    free = MAX_WAITING - len(self._waiting)
                    self._waiting.extendleft(reversed(batch[-free:] if free else []))
                    self._stopping.wait(_RETRY_SECONDS)

    def _post(self, predictions: list[dict[str, Any]]) -> bool:
        """Posts predictions by contract; returns whether the service took or refused them all."""
        by_contract: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for prediction in predictions:
            row = {key: value for key, value in prediction.items() if key not in _NOT_MONITORED}
            row["prediction_id"] = prediction["_id"]
            by_contract[prediction["contract"]["name"]].append(row)
        for name, rows in by_contract.items():
            try:
                answer = self._session.post(
                    f"{self._url}/iterate/{name}", json=rows, timeout=_TIMEOUT_SECONDS
                )
            except requests.RequestException as error:
                if not self._failing:
                    log.warning("the monitor does not answer: %s", error)
                self._failing = True
                return False
            if answer.status_code >= _SERVER_ERROR:
                if not self._failing:
                    log.warning("the monitor answers with %d", answer.status_code)
                self._failing = True
                return False
            self._failing = False
            self._observe(_accepted(answer, len(rows)))
            if not answer.ok:
                # It will not take them another time either.
                log.warning("the monitor refuses rows: %s", answer.text[:300])
        return True


def _accepted(answer: requests.Response, sent: int) -> int:
    """How many rows the service took: it may refuse single ones."""
    if answer.ok:
        return sent
    try:
        return int(answer.json()["accepted"])
    except (ValueError, KeyError, TypeError):
        return 0


class NoMonitor:
    """Stands in where no monitoring service runs."""

    def tell(self, predictions: Sequence[dict[str, Any]]) -> None:
        """Does nothing."""
