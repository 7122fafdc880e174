"""Put customers on a stream and compute the ids of their predictions."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlstack.contract.customer_schema import Customer
from mlstack.streams.client import StreamError
from mlstack.streams.publishing import Message, Publisher, is_taken
from mlstack.streams.stream import Stream, StreamIdentity
from mlstack.waiting import RetryLater, Stop, Stopped

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsResultEntryTypeDef

log = logging.getLogger(__name__)

Note = Callable[[Sequence[str], float], None]
"""Gets the prediction ids of records that were acknowledged together, at a monotonic time."""


class RecordSender(Publisher):
    """Puts customers until all of them are acknowledged.

    A failed call may still have put its records. They are put again, so a customer may be predicted
    twice, under two ids; Kinesis has no idempotency key.
    """

    def __init__(
        self, client: "KinesisClient", stream_name: str, stop: Stop, give_up: float
    ) -> None:
        super().__init__(client, stream_name, stop, give_up)
        self._identity = StreamIdentity(client, stream_name, stop, give_up)
        self._stream: Stream | None = None
        self._note: Note = lambda *_: None

    def send(self, customers: Sequence[Customer], note: Note) -> None:
        """Put customers in order; call `note` after each request with the records put.

        Raises Stopped, Unavailable if Kinesis has been unavailable for too long, and StreamError if
        a stream can never take some customers.
        """
        self._note = note
        refused = self.publish(
            [
                Message(f"{time.time_ns()}-{number}", json.dumps(customer).encode())
                for number, customer in enumerate(customers)
            ]
        )
        if refused:
            raise StreamError(
                f"{len(refused)} of {len(customers)} records cannot be put on a stream: "
                f"{refused[0].reason}"
            )

    def prediction_id(self, shard_id: str, sequence_number: str) -> str | None:
        """Return the prediction id of a record; None if the stream is currently unknown."""
        return self._stream.prediction_id(shard_id, sequence_number) if self._stream else None

    def _put(self, messages: Sequence[Message]) -> Sequence["PutRecordsResultEntryTypeDef"]:
        if self._stop.requested:
            raise Stopped
        stream, self._stream = self._stream or self._identity.wait(), None
        entries = super()._put(messages)
        at = time.monotonic()
        # Only a stream that existed before and after the call certainly has the records, and its
        # creation time is part of their ids.
        if not self._identity.confirm(stream):
            raise RetryLater("the stream was recreated")
        self._stream = stream
        taken = filter(is_taken, entries)
        ids = [stream.prediction_id(e["ShardId"], e["SequenceNumber"]) for e in taken]
        if ids:
            self._note(ids, at)
        return entries
