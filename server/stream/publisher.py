"""Puts records into a stream until every one of them is in."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from server.stream.heartbeat import Heartbeat
from server.stream.patience import Backoff, Complaint, Stop

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef

log = logging.getLogger(__name__)

# What one PutRecords takes: https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
# (a stream can be set to take more; these hold for every one).
MAX_RECORDS = 500
MAX_BYTES = 5 * 1024 * 1024
MAX_RECORD_BYTES = 1024 * 1024

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 5.0


class PublishError(Exception):
    """What Kinesis said of the entries that it did not take."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be put.

    Args:
        key: Partition key.
        data: The record; with the key `MAX_RECORD_BYTES` at most.
    """

    key: str
    data: bytes

    @property
    def size(self) -> int:
        """What it counts for in Kinesis' limits."""
        return len(self.key.encode()) + len(self.data)


class Publisher:
    """Publishes to one stream; safe from several threads.

    Args:
        client: Without retries of its own: they would know nothing of single entries.
        stream: The stream's name.
        stop: Ends the tries when its grace is over, and waits at once.
        heartbeat: Is given a sign at every call.
    """

    def __init__(
        self, client: "KinesisClient", stream: str, stop: Stop, heartbeat: Heartbeat
    ) -> None:
        self._client, self._stream = client, stream
        self._stop, self._heartbeat = stop, heartbeat
        self._complaint = Complaint(log, f"publishing to {stream}")

    def publish(self, messages: Sequence[Message]) -> bool:
        """Puts all of them, in order as far as none has to be put again.

        Returns:
            True: every one is in the stream. False: the server has to stop; some may be in.
        """
        for batch in _batches(messages):
            if self._stop.overdue:
                return False
            left, backoff = batch, Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
            while left := self._put(left):
                if self._stop.wait(backoff.next()):
                    return False
        return True

    def _put(self, batch: list[Message]) -> list[Message]:
        """Puts a batch once; returns what was not taken."""
        self._heartbeat.beat()
        entries: list[PutRecordsRequestEntryTypeDef] = [
            {"PartitionKey": message.key, "Data": message.data} for message in batch
        ]
        try:
            answers = self._client.put_records(StreamName=self._stream, Records=entries)["Records"]
        except (BotoCoreError, ClientError) as error:
            self._complaint.failed(error)
            return batch
        failed = [i for i, answer in enumerate(answers) if answer.get("ErrorCode")]
        if failed:
            first = answers[failed[0]]
            reason = f"{first.get('ErrorCode')}: {first.get('ErrorMessage')}"
            self._complaint.failed(PublishError(f"{len(failed)} of {len(batch)} refused, {reason}"))
        else:
            self._complaint.succeeded()
        return [batch[i] for i in failed]


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch, size = list[Message](), 0
    for message in messages:
        if message.size > MAX_RECORD_BYTES:
            raise ValueError(f"a record of {message.size} bytes never fits into a stream")
        if batch and (len(batch) == MAX_RECORDS or size + message.size > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += message.size
    if batch:
        yield batch
