"""Puts customers on the stream `predictions` and reads their answers from `results`.

Entry point: `python -m simulation_business.send_data_kinesis [--once] [--rate N] [--drift NAME]
[--seed N]`. It knows what each record's prediction will be called and so can tell which ones
were answered, how fast, and which are missing. A share of the predictions gets its outcome
some time later, through the HTTP server (`SIMULATION_OUTCOME_SHARE`, `_SECONDS`).
"""

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.errors import SettingsError
from mlstack.prediction_log.prediction import is_prediction_id
from mlstack.settings import Settings
from mlstack.web.strict_json import InvalidJson, parse
from simulation_business import service
from simulation_business.answers import is_chance, mean, percentile
from simulation_business.api_client import ApiClient
from simulation_business.ledger import Ledger
from simulation_business.options import Options
from simulation_business.outcomes import Outcomes
from simulation_business.pulse import Pulse
from simulation_business.record_sender import RecordSender
from simulation_business.stream_reader import StreamReader

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

NAME = "send_data_kinesis"

log = logging.getLogger(f"simulation_business.{NAME}")  # not `__main__`

MISSING_SECONDS = 60.0
"""A record without a result for so long counts as missing; a late result is still noticed."""

_ONCE_SECONDS = 60.0
"""How long Kinesis may be away in a run that sends one batch."""

_BUSY_SECONDS = 0.25
_IDLE_SECONDS = 2.0
_IDS_A_LINE = 20

# Retries are ours: botocore's own would put a whole batch again for a single entry.
_CLIENT_CONFIG = Config(
    connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 1}
)


@dataclass(slots=True)
class _Batch:
    """What has come to pass since the last line of the log."""

    sent: int = 0
    refused: int = 0
    chances: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class StreamSimulator:
    """Puts customers on the stream and follows them; see `service.Simulator`.

    Args:
        sender: Of `predictions`.
        results: Of `results`.
        dead_letters: Of `predictions-dead-letter`.
        answer: Key of the chance in a result.
        outcomes: Draws and reports what becomes of the customers.
        pulse: Knows the order to stop.
    """

    def __init__(
        self,
        *,
        sender: RecordSender,
        results: StreamReader,
        dead_letters: StreamReader,
        answer: str,
        outcomes: Outcomes,
        pulse: Pulse,
    ) -> None:
        self._sender, self._answer = sender, answer
        self._results, self._dead_letters = results, dead_letters
        self._outcomes, self._pulse = outcomes, pulse
        self._ledger = Ledger(MISSING_SECONDS)
        self._batch, self._unsaid = _Batch(), False
        self._began = False
        self._failed = 0

    def send(self, customers: Sequence[Customer]) -> None:
        """Puts a batch; the line about the one before is written by now at the latest."""
        if not self._began:
            self._began = self._results.begin() and self._dead_letters.begin()
        if not self._began:
            return
        self._read()
        self._say()
        self._unsaid = True
        for sent in self._sender.put(customers):
            self._ledger.put(sent.prediction_ids, sent.at)
            self._batch.sent += len(sent.prediction_ids)
            self._read()

    def between(self) -> float:
        """Reads results, reports outcomes and missing records."""
        self._read()
        self._outcomes.report_due()
        self._name_missing()
        if not self._ledger.waiting:
            self._say()
        return _BUSY_SECONDS if self._ledger.waiting else _IDLE_SECONDS

    def finish(self) -> bool:
        """Waits until every record has a result or is missing; reports the outcomes at once."""
        while not self._pulse.stopping:
            self._read()
            self._name_missing()
            if not self._ledger.waiting:
                break
            self._pulse.wait(_BUSY_SECONDS)
        unanswered = self._ledger.waiting + self._ledger.missing + self._failed
        reported = self._outcomes.report_all()
        self._say()
        return self._began and reported and not unanswered

    def close(self) -> None:
        """Says what is left to say."""
        self._say()

    def _read(self) -> None:
        """Takes in what is new on both streams."""
        for data in self._results.read():
            result = _document(data)
            chance, prediction_id = result.get(self._answer), result.get("prediction_id")
            if is_chance(chance) and is_prediction_id(prediction_id):
                self._settle(prediction_id, chance)
        # Nobody else's letters are of interest.
        for data in self._dead_letters.read() if self._ledger.waiting else ():
            letter = _document(data)
            place = letter.get("shard_id"), letter.get("sequence_number")
            prediction_id = self._sender.prediction_id(str(place[0]), str(place[1]))
            if prediction_id and self._ledger.settle(prediction_id, time.monotonic()) is not None:
                self._failed += 1
                self._batch.refused += 1
                log.warning(
                    "record %s is refused: %s", prediction_id, str(letter.get("errors"))[:300]
                )

    def _settle(self, prediction_id: str, chance: float) -> None:
        seconds = self._ledger.settle(prediction_id, time.monotonic())
        if seconds is None:
            return  # another sender's, or read twice
        self._outcomes.note(prediction_id, chance)
        self._batch.chances.append(chance)
        self._batch.seconds.append(seconds)

    def _name_missing(self) -> None:
        ids = self._ledger.overdue(time.monotonic())
        for start in range(0, len(ids), _IDS_A_LINE):
            log.warning(
                "no result after %g s: %s",
                *(MISSING_SECONDS, " ".join(ids[start : start + _IDS_A_LINE])),
            )

    def _say(self) -> None:
        """Writes the line about a batch, once; what comes later is for the next one's."""
        if not self._unsaid:
            return
        batch, self._batch, self._unsaid = self._batch, _Batch(), False
        log.info(
            "batch sent=%d answered=%d refused=%d waiting=%d missing=%d chance_mean=%.3f "
            "p50_ms=%.0f p99_ms=%.0f outcomes_reported=%d outcomes_waiting=%d",
            *(batch.sent, len(batch.chances), batch.refused),
            *(self._ledger.waiting, self._ledger.missing, mean(batch.chances)),
            *(percentile(batch.seconds, 50) * 1000, percentile(batch.seconds, 99) * 1000),
            *(self._outcomes.take_reported(), self._outcomes.waiting),
        )


def build(
    settings: Settings, contract: Contract, options: Options, pulse: Pulse
) -> StreamSimulator:
    """Makes the simulator.

    Raises:
        SettingsError: boto3 misses a setting.
    """
    give_up = _ONCE_SECONDS if options.once else math.inf
    try:
        client: KinesisClient = boto3.client("kinesis", config=_CLIENT_CONFIG)
    except (BotoCoreError, ValueError) as error:
        raise SettingsError(f"AWS cannot be asked: {error}") from error
    outcomes = Outcomes(
        ApiClient(
            settings.api_url,
            contract.answer,
            contract.target.name,
            pulse,
            give_up,
            feedback_token=settings.feedback_token,
        ),
        settings.simulation_outcome_share,
        settings.simulation_outcome_seconds,
        options.seed,
    )
    return StreamSimulator(
        sender=RecordSender(client, settings.predictions_stream, pulse, give_up),
        results=StreamReader(client, settings.results_stream, pulse, give_up),
        dead_letters=StreamReader(client, settings.dead_letter_stream, pulse, give_up),
        answer=contract.answer,
        outcomes=outcomes,
        pulse=pulse,
    )


def _document(data: bytes) -> dict[str, Any]:
    """A record's JSON object; an empty one when it has none: it is not ours to judge."""
    try:
        value = parse(data)
    except InvalidJson:
        return {}
    return value if isinstance(value, dict) else {}


if __name__ == "__main__":
    service.run(NAME, __doc__ or "", build)
