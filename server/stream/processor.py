"""Answers a shard's records: on the stream means answered.

Every engine hands its records to the same `StreamProcessor.process` and moves its checkpoint
only when that says so.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mlstack import failpoints
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import SEQUENCE_NUMBER, SHARD_ID
from mlstack.deployment.predictor import Predictor
from mlstack.errors import InvalidCustomer, MlstackError
from mlstack.prediction_log.prediction import Origin, Prediction
from mlstack.prediction_log.spool import SpoolError
from mlstack.web.strict_json import InvalidJson
from server.stream.dead_letters import InternalError, dead_letters
from server.stream.heartbeat import Heartbeat
from server.stream.metrics import StreamMetrics
from server.stream.patience import Backoff, Complaint, Stop
from server.stream.publisher import Message
from server.stream.records import Record, Stream, payload, prediction_id

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0
_MODEL_SECONDS = 0.2


class Served(Protocol):
    """What is served; `mlstack.deployment.watcher.ModelWatcher` is one."""

    @property
    def predictor(self) -> Predictor | None:
        """In use; read once a batch, so that a batch comes whole from one model."""

    @property
    def reason(self) -> str:
        """Why there is no predictor."""


class Publishes(Protocol):
    """Puts messages into a stream; `server.stream.publisher.Publisher` is one."""

    def publish(self, messages: Sequence[Message]) -> bool:
        """Returns True when all of them are in, False when the server has to stop."""


class Processes(Protocol):
    """What the engines know of `StreamProcessor`."""

    def process(self, stream: Stream, shard_id: str, records: Sequence[Record]) -> bool:
        """See `StreamProcessor.process`."""


@dataclass(frozen=True, slots=True)
class _Valid:
    record: Record
    prediction_id: str
    customer: Customer


@dataclass(frozen=True, slots=True)
class _Poison:
    record: Record
    error: MlstackError


class StreamProcessor:
    """Turns records into kept, published answers; safe from several threads.

    Args:
        served: The model in use.
        results: Where answers are published.
        dead_letter_stream: Where records go that cannot be answered.
        metrics: Where records are counted.
        stop: Ends waits.
        heartbeat: Is given a sign by every wait.
    """

    def __init__(
        self,
        *,
        served: Served,
        results: Publishes,
        dead_letter_stream: Publishes,
        metrics: StreamMetrics,
        stop: Stop,
        heartbeat: Heartbeat,
    ) -> None:
        self._served = served
        self._results, self._dead_letters = results, dead_letter_stream
        self._metrics, self._stop, self._heartbeat = metrics, stop, heartbeat

    def process(self, stream: Stream, shard_id: str, records: Sequence[Record]) -> bool:
        """Answers records of a shard. Never raises: an engine might drop them for it.

        What is wrong outside (no model, a full disk, Kinesis away) is waited for; only a
        record that is wrong by itself becomes a dead letter.

        Args:
            stream: The stream that they were read from.
            shard_id: Their shard.
            records: In order.

        Returns:
            True: each one's answer is kept and published, or its dead letter is. False: the
            server has to stop, and the records have to be read again.
        """
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        complaint = Complaint(log, f"answering records of {shard_id}")
        while True:
            try:
                if (predictor := self._wait_for_model()) is None:
                    return False
                done = self._answer(predictor, stream, shard_id, records)
            except SpoolError as error:
                complaint.failed(error)
            except Exception:
                # Whatever it is, the records are safe where they are and nowhere else.
                log.exception("answering records of %s failed; trying again", shard_id)
            else:
                complaint.succeeded()
                return done
            self._heartbeat.beat()
            if self._stop.wait(backoff.next()):
                return False

    def _wait_for_model(self) -> Predictor | None:
        complaint = Complaint(log, "records wait for a model")
        while (predictor := self._served.predictor) is None:
            complaint.failed(MlstackError(self._served.reason))
            self._heartbeat.beat()
            if self._stop.wait(_MODEL_SECONDS):
                return None
        complaint.succeeded()
        return predictor

    def _answer(
        self, predictor: Predictor, stream: Stream, shard_id: str, records: Sequence[Record]
    ) -> bool:
        valid, poison = list[_Valid](), list[_Poison]()
        for record in records:
            try:
                customer = _customer(predictor, record)
            except MlstackError as error:
                poison.append(_Poison(record, error))
            else:
                valid.append(_Valid(record, prediction_id(stream, shard_id, record), customer))
        predictions = predictor.predict(
            [v.customer for v in valid],
            [v.prediction_id for v in valid],
            [Origin("kinesis", shard_id, v.record.sequence_number) for v in valid],
        )
        published = self._results.publish(
            [
                _result(prediction, shard_id, v.record)
                for prediction, v in zip(predictions, valid, strict=True)
            ]
        )
        failpoints.reached("results_published")
        if not published or not self._dead_letters.publish(
            [
                Message(prediction_id(stream, shard_id, p.record), letter)
                for p in poison
                for letter in dead_letters(stream, shard_id, p.record, p.error)
            ]
        ):
            return False
        failpoints.reached("dead_letters_published")
        self._metrics.answered(len(predictions), predictor.model.run_id)
        self._metrics.dead_lettered(len(poison))
        return True


def _customer(predictor: Predictor, record: Record) -> Customer:
    """Reads a record. Raises InvalidJson, InvalidCustomer or InternalError."""
    try:
        return predictor.validate(payload(record.data))
    except (InvalidJson, InvalidCustomer):
        raise
    except Exception as error:
        log.exception("record %s cannot be read: a defect", record.sequence_number)
        raise InternalError(f"the server has a defect: {type(error).__name__}") from error


def _result(prediction: Prediction, shard_id: str, record: Record) -> Message:
    result = {
        **prediction.answer(),
        SHARD_ID: shard_id,
        SEQUENCE_NUMBER: record.sequence_number,
    }
    return Message(prediction.prediction_id, json.dumps(result).encode())
