"""Put customers on the stream `predictions` and read responses from `results`.

Entry point: `python -m simulation_business.send_data_kinesis [--once] [--rate N] [--drift NAME]
[--seed N]`. It knows the prediction id of each record, so it can tell which records got a result,
how fast, and which are missing. A share of the predictions gets an outcome some time later,
through the HTTP server (`SIMULATION_OUTCOME_SHARE`, `_SECONDS`).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import PREDICTION_ID, SEQUENCE_NUMBER, SHARD_ID
from mlstack.contract.target import Scored
from mlstack.prediction_log.prediction import is_prediction_id
from mlstack.settings import Settings
from mlstack.streams.client import kinesis_client
from mlstack.waiting import Stop
from mlstack.web.strict_json import InvalidJson, parse
from simulation_business import service
from simulation_business.answers import as_number, mean, percentile, read_prediction
from simulation_business.api_client import ApiClient
from simulation_business.ledger import Ledger
from simulation_business.options import Options
from simulation_business.outcomes import Outcomes
from simulation_business.record_sender import RecordSender
from simulation_business.stream_reader import StreamReader

NAME = "send_data_kinesis"

log = logging.getLogger(f"simulation_business.{NAME}")  # not `__main__`

MISSING_SECONDS = 60.0
"""Seconds without a result after which a record counts as missing. Later results still count."""

_BUSY_SECONDS = 0.25
_IDLE_SECONDS = 2.0
_IDS_PER_LINE = 20


@dataclass(slots=True)
class _Batch:
    """Statistics since the last line of the log."""

    sent: int = 0
    refused: int = 0
    predictions: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class StreamSimulator:
    """Puts customers on the stream and tracks them; see `service.Simulator`.

    `contract` tells what a result looks like.
    """

    def __init__(
        self,
        *,
        sender: RecordSender,
        results: StreamReader,
        dead_letters: StreamReader,
        contract: Contract,
        outcomes: Outcomes,
        stop: Stop,
    ) -> None:
        self._sender, self._contract = sender, contract
        self._results, self._dead_letters = results, dead_letters
        self._outcomes, self._stop = outcomes, stop
        self._ledger = Ledger(MISSING_SECONDS)
        self._batch, self._is_logged = _Batch(), True
        self._began = False
        self._failed = 0

    def send(self, customers: Sequence[Customer]) -> None:
        """Put a batch, after logging the previous one."""
        if not self._began:
            self._results.begin()
            self._dead_letters.begin()
            self._began = True
        self._read()
        self._log_batch()
        self._is_logged = False
        self._sender.send(customers, self._note_sent)

    def between(self) -> float:
        """Read results; report due outcomes and missing records."""
        self._read()
        self._outcomes.report_due()
        self._log_missing()
        if not self._ledger.waiting:
            self._log_batch()
        return _BUSY_SECONDS if self._ledger.waiting else _IDLE_SECONDS

    def finish(self) -> bool:
        """Wait until each record has a result or is missing; report outcomes at once."""
        while not self._stop.requested:
            self._read()
            self._log_missing()
            if not self._ledger.waiting:
                break
            self._stop.wait(_BUSY_SECONDS)
        unanswered = self._ledger.waiting + self._ledger.missing + self._failed
        reported = self._outcomes.report_all()
        self._log_batch()
        return self._began and reported and not unanswered

    def close(self) -> None:
        """Log the last batch if it was not logged yet."""
        self._log_batch()

    def _note_sent(self, prediction_ids: Sequence[str], at: float) -> None:
        self._ledger.put(prediction_ids, at)
        self._batch.sent += len(prediction_ids)
        self._read()

    def _read(self) -> None:
        """Read new records of both streams."""
        for data in self._results.read():
            result = _document(data)
            scored = read_prediction(result, self._contract)
            prediction_id = result.get(PREDICTION_ID)
            if scored is not None and is_prediction_id(prediction_id):
                self._settle(prediction_id, scored)
        # If no records wait, all letters belong to other senders.
        for data in self._dead_letters.read() if self._ledger.waiting else ():
            letter = _document(data)
            place = str(letter.get(SHARD_ID)), str(letter.get(SEQUENCE_NUMBER))
            prediction_id = self._sender.prediction_id(*place)
            if prediction_id and self._ledger.settle(prediction_id, time.monotonic()) is not None:
                self._failed += 1
                self._batch.refused += 1
                log.warning(
                    "record %s was rejected: %s", prediction_id, str(letter.get("errors"))[:300]
                )

    def _settle(self, prediction_id: str, scored: Scored) -> None:
        seconds = self._ledger.settle(prediction_id, time.monotonic())
        if seconds is None:
            return  # another sender's, or read twice
        self._outcomes.note(prediction_id, scored)
        self._batch.predictions.append(as_number(scored))
        self._batch.seconds.append(seconds)

    def _log_missing(self) -> None:
        ids = self._ledger.overdue(time.monotonic())
        for start in range(0, len(ids), _IDS_PER_LINE):
            log.warning(
                "no result after %g s: %s",
                *(MISSING_SECONDS, " ".join(ids[start : start + _IDS_PER_LINE])),
            )

    def _log_batch(self) -> None:
        """Log a batch, once; later results count for the next one."""
        if self._is_logged:
            return
        batch, self._batch, self._is_logged = self._batch, _Batch(), True
        log.info(
            "batch sent=%d answered=%d refused=%d waiting=%d missing=%d prediction_mean=%.3f "
            "p50_ms=%.0f p99_ms=%.0f outcomes_reported=%d outcomes_waiting=%d",
            *(batch.sent, len(batch.predictions), batch.refused),
            *(self._ledger.waiting, self._ledger.missing, mean(batch.predictions)),
            *(percentile(batch.seconds, 50) * 1000, percentile(batch.seconds, 99) * 1000),
            *(self._outcomes.take_reported(), self._outcomes.waiting),
        )


def build(settings: Settings, contract: Contract, options: Options, stop: Stop) -> StreamSimulator:
    """Create the simulator. Raises StreamError if boto3 lacks a setting."""
    client, give_up = kinesis_client(), options.give_up
    api = ApiClient(settings, contract, stop, give_up)
    return StreamSimulator(
        sender=RecordSender(client, settings.predictions_stream, stop, give_up),
        results=StreamReader(client, settings.results_stream, stop, give_up),
        dead_letters=StreamReader(client, settings.dead_letter_stream, stop, give_up),
        contract=contract,
        outcomes=Outcomes.of(settings, contract.target, api, options.seed),
        stop=stop,
    )


def _document(data: bytes) -> dict[str, Any]:
    """Parse a record's JSON object; return an empty one if it has none.

    Anyone may put records on the stream.
    """
    try:
        value = parse(data)
    except InvalidJson:
        return {}
    return value if isinstance(value, dict) else {}


if __name__ == "__main__":
    service.run(NAME, __doc__ or "", build)
