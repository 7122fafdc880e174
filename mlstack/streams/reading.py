"""Read a shard: iterators, positions, and lost positions."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from botocore.exceptions import ClientError

from mlstack.errors import MlstackError
from mlstack.waiting import RetryLater

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

_THROTTLED = "ProvisionedThroughputExceededException"
_EVERYDAY = (_THROTTLED, "ExpiredIteratorException")
"""Errors that are not logged: other readers use the shard too, or the iterator has expired."""


class Record(NamedTuple):
    """A record of a shard."""

    sequence_number: str
    data: bytes
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one read of a shard.

    Args:
        records: In order; may be empty although there are more.
        behind_seconds: How far they are behind the newest record.
        ended: The shard is closed, and no records follow.
    """

    records: list[Record]
    behind_seconds: float
    ended: bool

    @property
    def is_empty_at_tip(self) -> bool:
        """Whether there was nothing to read."""
        return not self.records and not self.behind_seconds


class PositionLost(MlstackError):
    """The shard no longer has the last record that was read."""


class ShardCursor:
    """Reads one shard from a position; not thread-safe.

    `client` must not retry. `position` is the sequence number of the last record that was read
    before; None means to begin at `start`.
    """

    def __init__(
        self,
        client: "KinesisClient",
        stream_name: str,
        shard_id: str,
        position: str | None = None,
        start: Literal["LATEST", "TRIM_HORIZON"] = "TRIM_HORIZON",
    ) -> None:
        self._client, self._stream_name, self._shard_id = client, stream_name, shard_id
        self._position, self._start = position, start
        self._iterator: str | None = None
        self.is_verified = position is None
        """Whether the position's record was seen in the shard."""
        self.ended = False

    def read(self, limit: int) -> Batch:
        """Read once.

        Raises:
            PositionLost: the shard has been trimmed, or never had the position's record. The next
                read begins with the oldest available record.
            RetryLater: reads were throttled, or the iterator had expired.
            BotoCoreError, ClientError: Kinesis cannot be reached or rejects the call.
        """
        try:
            iterator = self._iterator or self.open()
            answer = self._client.get_records(ShardIterator=iterator, Limit=limit)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code != _THROTTLED:
                self._iterator = None
            if code in _EVERYDAY:
                raise RetryLater(error, quiet=True) from error
            raise
        self._iterator = answer.get("NextShardIterator")
        records = [
            Record(r["SequenceNumber"], r["Data"], r["ApproximateArrivalTimestamp"])
            for r in answer["Records"]
        ]
        batch = Batch(records, answer.get("MillisBehindLatest", 0) / 1000, not self._iterator)
        if not self.is_verified:
            batch = self._verify(batch)
        if batch.records:
            self._position = batch.records[-1].sequence_number
        self.ended = batch.ended
        return batch

    def open(self) -> str:
        """Get an iterator. Raises as `read` does."""
        if self._position is not None:
            iterator = self._iterator_at(self._position)
            if iterator is None:
                raise self._lose("the stream does not know its record")
            self.is_verified = False
        else:
            iterator = self._iterator_from(self._start)
            # If it expires before the first read, records that arrived since then still count.
            self._start = "TRIM_HORIZON"
        self._iterator = iterator
        return iterator

    def _verify(self, batch: Batch) -> Batch:
        """Check that the first record is the position's own, and drop it.

        It was read before. If it is gone, Kinesis continues with the next available record.
        """
        if not batch.records and not batch.ended and not batch.is_empty_at_tip:
            return batch  # it may take several reads to reach a record
        if batch.records and batch.records[0].sequence_number == self._position:
            self.is_verified = True
            return replace(batch, records=batch.records[1:])
        raise self._lose("its record is no longer in the shard: its retention period has passed")

    def _lose(self, reason: str) -> PositionLost:
        lost = PositionLost(f"position {self._position} of {self._shard_id} is lost: {reason}")
        self._position, self._iterator, self._start = None, None, "TRIM_HORIZON"
        self.is_verified = True
        return lost

    def _iterator_from(self, start: Literal["LATEST", "TRIM_HORIZON"]) -> str:
        return self._client.get_shard_iterator(
            StreamName=self._stream_name, ShardId=self._shard_id, ShardIteratorType=start
        )["ShardIterator"]

    def _iterator_at(self, position: str) -> str | None:
        """Get an iterator at a record; None if the stream reports no such record."""
        errors = self._client.exceptions
        try:
            return self._client.get_shard_iterator(
                StreamName=self._stream_name,
                ShardId=self._shard_id,
                ShardIteratorType="AT_SEQUENCE_NUMBER",
                StartingSequenceNumber=position,
            )["ShardIterator"]
        except errors.InvalidArgumentException:
            return None
        except errors.ResourceNotFoundException:
            # What was not found: the stream, the shard or (on some emulators) the record?
            self._iterator_from("TRIM_HORIZON")
            return None


def list_shards(client: "KinesisClient", stream_name: str) -> dict[str, "ShardTypeDef"]:
    """List the shards that a stream still has, by id.

    Raises BotoCoreError or ClientError.
    """
    pages = client.get_paginator("list_shards").paginate(StreamName=stream_name)
    return {shard["ShardId"]: shard for page in pages for shard in page["Shards"]}
