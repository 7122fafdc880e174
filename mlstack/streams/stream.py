"""Identify a stream, derive prediction ids from its records, and create it."""

import hashlib
import logging
import math
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mlstack.streams.client import StreamError
from mlstack.uuid_text import uuid_text
from mlstack.waiting import Retry, RetryLater, Stop, Stopped, wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
"""Minimum seconds between two lookups by a process: AWS allows 20 a second per account."""

_CREATE_SECONDS = 60.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.1, 2.0

_NAMESPACE = uuid.UUID("0b6b1f0e-52a7-5d0f-8f0a-6f1d5a0c3e21").bytes
"""Separates prediction ids from other version 5 UUIDs; must never change."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it was created: a later one of the same name is another stream."""

    name: str
    created_at: datetime

    def prediction_id(self, shard_id: str, sequence_number: str) -> str:
        """Return the id of a record's prediction, which is the same for every read."""
        created = int(self.created_at.timestamp())
        record = f"{self.name}/{created}/{shard_id}/{sequence_number}"
        digest = hashlib.sha1(_NAMESPACE + record.encode(), usedforsecurity=False).hexdigest()
        return uuid_text(digest, version=5)


def find_stream(client: "KinesisClient", name: str) -> Stream:
    """Return the stream that currently has a name.

    Raises:
        RetryLater: it is being created or deleted.
        BotoCoreError, ClientError: Kinesis cannot be reached, or has no such stream.
    """
    answer = client.describe_stream_summary(StreamName=name)
    summary = answer["StreamDescriptionSummary"]
    if summary["StreamStatus"] not in {"ACTIVE", "UPDATING"}:
        raise RetryLater(f"stream {name} is {summary['StreamStatus']}")
    return Stream(name, summary["StreamCreationTimestamp"])


class StreamIdentity:
    """Tells whether a stream is still the same; concurrent callers share a request.

    Emulators forget their streams, and users recreate them. A new stream of the same name accepts
    the old one's iterators and sequence numbers, at least on an emulator: records read with them
    are skipped or get wrong ids.

    `client` must not retry. `give_up` is the maximum outage of Kinesis in seconds.
    """

    def __init__(
        self, client: "KinesisClient", name: str, stop: Stop, give_up: float = math.inf
    ) -> None:
        self._client, self._name, self._stop = client, name, stop
        self._retry = Retry(
            *(log, f"checking stream {name}", BotoCoreError, ClientError),
            stop=stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
            give_up=give_up,
        )
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: Stream | None = None

    def look(self) -> Stream | None:
        """Return the current stream; None if it cannot be read at the moment."""
        try:
            with self._lock:
                stream = self._look()
        except (RetryLater, BotoCoreError, ClientError) as error:
            self._retry.outage.failed(error)
            return None
        self._retry.outage.succeeded()
        return stream

    def wait(self) -> Stream:
        """Return the stream as soon as it can be read.

        Raises:
            Stopped: the process must stop.
            Unavailable: Kinesis has been unavailable for too long.
        """
        return self._retry(self._look_since, time.monotonic())

    def confirm(self, stream: Stream) -> bool:
        """Confirm that everything read or put until now was in this stream.

        A stream never comes back once it is gone: if it exists now, it existed then. Returns False
        if another stream has its name now, or the process must stop. Raises Unavailable if Kinesis
        has been unavailable for too long.
        """
        try:
            return self.wait() == stream
        except Stopped:
            return False

    def _look_since(self, asked_at: float) -> Stream:
        with self._lock:
            if self._looked_at < asked_at or self._seen is None:
                pause = self._looked_at + _LOOK_SECONDS - time.monotonic()
                if pause > 0:
                    self._stop.wait(pause)
                return self._look()
            return self._seen

    def _look(self) -> Stream:
        self._stop.beat()
        self._looked_at, self._seen = time.monotonic(), None
        self._seen = find_stream(self._client, self._name)
        return self._seen


def ensure_stream(client: "KinesisClient", name: str, shards: int) -> bool:
    """Create a stream unless it exists, wait until it is active, return if created.

    Raises:
        StreamError: Kinesis cannot be reached or rejects a call.
        Unavailable: the stream does not become active.
    """

    def status() -> str:
        answer = client.describe_stream_summary(StreamName=name)
        return answer["StreamDescriptionSummary"]["StreamStatus"]

    created = False
    try:
        # Check first: an account that may not create streams can use existing ones.
        try:
            status()
        except client.exceptions.ResourceNotFoundException:
            try:
                client.create_stream(StreamName=name, ShardCount=shards)
                created = True
            except client.exceptions.ResourceInUseException:
                pass  # `make init_aws` and the keeper may run at the same time
        wait_until(
            lambda: status() == "ACTIVE", f"stream {name} does not become active", _CREATE_SECONDS
        )
    except (BotoCoreError, ClientError) as error:
        raise StreamError(f"stream {name} cannot be created: {error}") from error
    return created
