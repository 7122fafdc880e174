"""Answer records of the stream `predictions` on `results`.

Every engine passes its records to `StreamProcessor.process`, and moves its checkpoint only if that
returns True.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mlstack import failpoints
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import SEQUENCE_NUMBER, SHARD_ID
from mlstack.deployment.predictor import ModelSource, Predictor
from mlstack.errors import InvalidCustomer, MlstackError
from mlstack.prediction_log.prediction import Origin, Prediction
from mlstack.prediction_log.segment import SpoolError
from mlstack.streams.publishing import Message, Refused
from mlstack.streams.reading import Record
from mlstack.streams.stream import Stream
from mlstack.waiting import Outage, Retry, Stop, Stopped
from mlstack.web.strict_json import InvalidJson, parse
from server.answers import encode
from server.stream.dead_letters import InternalError, dead_letters
from server.stream.metrics import StreamMetrics

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.1, 5.0
_MODEL_SECONDS = 0.2

Publish = Callable[[Sequence[Message]], Sequence[Refused]]
"""Puts messages into a stream and returns those that it can never take; raises Stopped if the
server must stop before that."""


class _Valid(NamedTuple):
    record: Record
    prediction_id: str
    customer: Customer


class _Poison(NamedTuple):
    record: Record
    error: MlstackError


class StreamProcessor:
    """Turns records into kept and published predictions; thread-safe."""

    def __init__(
        self,
        *,
        models: ModelSource,
        publish_results: Publish,
        publish_dead_letters: Publish,
        metrics: StreamMetrics,
        stop: Stop,
    ) -> None:
        self._models, self._metrics, self._stop = models, metrics, stop
        self._publish_results = publish_results
        self._publish_dead_letters = publish_dead_letters

    def process(self, stream: Stream, shard_id: str, records: Sequence[Record]) -> bool:
        """Answer records of a shard, in order. Never raises: an engine might drop them.

        It waits for faults outside the records to end (no model, a full disk, Kinesis unavailable);
        only a record that is itself invalid becomes a dead letter.

        Returns:
            True if each record's answer is kept and published, or its dead letter is published;
                what the streams refuse for good is logged.
            False if the server must stop; the records must then be read again.
        """
        # Whatever fails, the records are safe in the stream and nowhere else.
        retry = Retry(
            *(log, f"answering records of {shard_id}", SpoolError),
            stop=self._stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
            defects=True,
        )
        try:
            retry(self._answer, stream, shard_id, records)
        except Stopped:
            return False
        return True

    def _answer(self, stream: Stream, shard_id: str, records: Sequence[Record]) -> None:
        predictor = self._wait_for_model()
        valid, poison = list[_Valid](), list[_Poison]()
        for record in records:
            try:
                customer = _customer(predictor, record)
            except MlstackError as error:
                poison.append(_Poison(record, error))
            else:
                name = stream.prediction_id(shard_id, record.sequence_number)
                valid.append(_Valid(record, name, customer))
        predictions = predictor.predict(
            [v.customer for v in valid],
            [v.prediction_id for v in valid],
            [Origin("kinesis", shard_id, v.record.sequence_number) for v in valid],
        )
        unpublished = self._publish_results([_result(prediction) for prediction in predictions])
        failpoints.reached("results_published")
        record_of = {v.prediction_id: v.record for v in valid}
        poison += [_Poison(record_of[each.message.key], _unpublished(each)) for each in unpublished]
        lost = self._publish_dead_letters(
            [
                Message(stream.prediction_id(shard_id, p.record.sequence_number), letter)
                for p in poison
                for letter in dead_letters(stream.name, shard_id, p.record, p.error)
            ]
        )
        for each in lost:
            log.error("the dead letter of record %s is lost: %s", each.message.key, each.reason)
        failpoints.reached("dead_letters_published")
        self._metrics.answered(len(predictions) - len(unpublished), predictor.model.run_id)
        self._metrics.dead_lettered(len(poison))

    def _wait_for_model(self) -> Predictor:
        outage = Outage(log, "records wait for a model")
        while (predictor := self._models.predictor) is None:
            outage.failed(self._models.reason)
            self._stop.sleep(_MODEL_SECONDS)
        outage.succeeded()
        return predictor


def _customer(predictor: Predictor, record: Record) -> Customer:
    """Parse and validate a record.

    Raises InvalidJson, InvalidCustomer or InternalError.
    """
    try:
        if decoded := predictor.decode(record.data):
            return decoded[0]
        return predictor.validate(_payload(record.data))
    except (InvalidJson, InvalidCustomer):
        raise
    except Exception as error:
        log.exception("unexpected error while reading record %s", record.sequence_number)
        raise InternalError(f"unexpected error in the server: {type(error).__name__}") from error


def _payload(data: bytes) -> Any:
    """Parse a record's JSON, plain or in base64.

    Version 1 of the AWS command line encodes the documented `aws kinesis put-record --data
    <base64>` once more. Raises InvalidJson if it is neither.
    """
    try:
        return parse(data)
    except InvalidJson as error:
        try:
            # The `base64` command breaks lines.
            decoded = base64.b64decode(b"".join(data.split()), validate=True)
        except binascii.Error:
            raise error from None
        try:
            return parse(decoded)
        except InvalidJson:
            # Almost any word is valid base64: the inner error is useful only if an object was
            # meant.
            if decoded.lstrip().startswith(b"{"):
                raise
            raise error from None


def _unpublished(refused: Refused) -> InternalError:
    stored_as = refused.message.key
    log.error("the result of record %s cannot be published: %s", stored_as, refused.reason)
    return InternalError(
        f"the prediction is stored as {stored_as}, but its result cannot be published: "
        f"{refused.reason}"
    )


def _result(prediction: Prediction) -> Message:
    result = {
        **prediction.answer(),
        SHARD_ID: prediction.origin.shard_id,
        SEQUENCE_NUMBER: prediction.origin.sequence_number,
    }
    return Message(prediction.prediction_id, encode(result))
