"""Publish records to a stream until all of them are accepted."""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from mlstack.errors import MlstackError
from mlstack.waiting import Retry, RetryLater, Stop, Stopped

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import (
        PutRecordsRequestEntryTypeDef,
        PutRecordsResultEntryTypeDef,
    )

log = logging.getLogger(__name__)

# Limits of one PutRecords call:
# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html
# (a stream can be configured for more; these hold for all streams).
MAX_RECORDS = 500
MAX_BYTES = 5 * 1024 * 1024
MAX_RECORD_BYTES = 1024 * 1024
MAX_KEY_LENGTH = 256

_INVALID = frozenset({"InvalidArgumentException", "SerializationException", "ValidationException"})
"""Errors for which Kinesis blames the request: it would refuse every repetition too."""

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.1, 5.0


class Message(NamedTuple):
    """A record with its partition key; together at most `MAX_RECORD_BYTES`."""

    key: str
    data: bytes

    @property
    def fault(self) -> str:
        """Why no stream accepts the message; empty if nothing is wrong."""
        if not 1 <= len(self.key) <= MAX_KEY_LENGTH:
            return f"its key has {len(self.key)} characters, not 1 to {MAX_KEY_LENGTH}"
        if self.size > MAX_RECORD_BYTES:
            return f"it has {self.size:,} bytes; at most {MAX_RECORD_BYTES:,} are allowed"
        return ""

    @property
    def size(self) -> int:
        """Size in bytes as counted by Kinesis' limits."""
        return len(self.key.encode()) + len(self.data)


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that can never be published, and why."""

    message: Message
    reason: str


class _Invalid(MlstackError):
    """Kinesis refuses a call because of what is in it."""


class Publisher:
    """Publishes to one stream; thread-safe.

    `client` must not retry. `stop` ends waits at once, and everything when its grace period is
    over. `give_up` is the maximum outage of Kinesis in seconds.
    """

    def __init__(
        self, client: "KinesisClient", stream_name: str, stop: Stop, give_up: float = math.inf
    ) -> None:
        self._client, self._stream_name, self._stop = client, stream_name, stop
        self._retry = Retry(
            *(log, f"publishing to stream {stream_name}", BotoCoreError, ClientError),
            stop=stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
            give_up=give_up,
        )

    def publish(self, messages: Sequence[Message]) -> list[Refused]:
        """Put all messages, in order unless some must be put again.

        Returns the messages that can never be put, instead of trying for ever; all others are in
        the stream.

        Raises:
            Stopped: the process must stop; some messages may be in the stream.
            Unavailable: Kinesis has been unavailable for too long.
        """
        refused, sound = list[Refused](), list[Message]()
        for message in messages:
            if fault := message.fault:
                refused.append(Refused(message, fault))
            else:
                sound.append(message)
        for batch in _batches(sound):
            refused += self._publish(batch)
        return refused

    def _publish(self, batch: list[Message]) -> list[Refused]:
        if self._stop.overdue:
            raise Stopped
        try:
            self._retry(self._put_rest, batch)
        except _Invalid as error:
            if len(batch) == 1:
                return [Refused(batch[0], str(error))]
            # The answer does not say which one is invalid.
            half = len(batch) // 2
            return self._publish(batch[:half]) + self._publish(batch[half:])
        return []

    def _put_rest(self, messages: list[Message]) -> None:
        """Put messages and remove the accepted ones; raise RetryLater if some remain."""
        try:
            entries = self._put(messages)
        except ClientError as error:
            if error.response["Error"]["Code"] in _INVALID:
                raise _Invalid(str(error)) from error
            raise
        refused = [(m, e) for m, e in zip(messages, entries, strict=True) if not is_taken(e)]
        if refused:
            count, entry = len(messages), refused[0][1]
            messages[:] = [message for message, _ in refused]
            reason = f"{entry.get('ErrorCode')}: {entry.get('ErrorMessage')}"
            raise RetryLater(f"{len(refused)} of {count} records rejected, {reason}")

    def _put(self, messages: Sequence[Message]) -> Sequence["PutRecordsResultEntryTypeDef"]:
        """Make one PutRecords call."""
        self._stop.beat()
        entries: list[PutRecordsRequestEntryTypeDef] = [
            {"PartitionKey": message.key, "Data": message.data} for message in messages
        ]
        return self._client.put_records(StreamName=self._stream_name, Records=entries)["Records"]


def is_taken(entry: "PutRecordsResultEntryTypeDef") -> bool:
    """Whether Kinesis has accepted the record of an entry."""
    return bool(entry.get("SequenceNumber") and entry.get("ShardId"))


def _batches(messages: Sequence[Message]) -> Iterator[list[Message]]:
    batch, size = list[Message](), 0
    for message in messages:
        own = message.size
        if batch and (len(batch) == MAX_RECORDS or size + own > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += own
    if batch:
        yield batch
