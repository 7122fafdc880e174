"""Read new records from all shards of a stream, even if an emulator restarts."""

import logging
import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from mlstack.streams.reading import PositionLost, ShardCursor, list_shards
from mlstack.streams.stream import Stream, find_stream
from mlstack.waiting import Retry, RetryLater, Stop, Stopped

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
"""Seconds between two checks of the stream's identity and shards."""

_RECORDS = 1000
_MAX_READS = 5
"""Maximum consecutive reads of a shard: AWS allows five a second."""


class StreamReader:
    """Reads records that arrive after `begin`; not thread-safe.

    `client` must not retry. `give_up` is the maximum outage of Kinesis in seconds.
    """

    def __init__(
        self, client: "KinesisClient", stream_name: str, stop: Stop, give_up: float = math.inf
    ) -> None:
        self._client, self._stream_name, self._stop = client, stream_name, stop
        self._retry = Retry(
            *(log, f"reading stream {stream_name}", BotoCoreError, ClientError),
            stop=stop,
            first=0.2,
            longest=10.0,
            give_up=give_up,
        )
        self._stream: Stream | None = None
        self._cursors: dict[str, ShardCursor] = {}
        self._look_at = 0.0

    def begin(self) -> None:
        """Record where each shard ends now; later records will be read.

        Raises Stopped, and Unavailable if Kinesis has been unavailable for too long.
        """
        self._retry(self._begin)

    def read(self) -> list[bytes]:
        """Read new records; wait while Kinesis is unavailable, until the stop request.

        Raises Unavailable if that takes too long.
        """
        found = list[bytes]()
        with suppress(Stopped):
            self._retry(self._read_new, found)
        return found

    def _begin(self) -> None:
        if self._stop.requested:
            raise Stopped
        self._stream, self._cursors = None, {}
        self._look("LATEST")
        for cursor in self._cursors.values():
            cursor.open()

    def _read_new(self, found: list[bytes]) -> None:
        try:
            if time.monotonic() >= self._look_at:
                self._look("TRIM_HORIZON")
            for cursor in self._cursors.values():
                self._read_shard(cursor, found)
        except (RetryLater, BotoCoreError, ClientError):
            # Positions are kept, but the name may belong to another stream next time.
            self._look_at = 0.0
            raise

    def _look(self, start: Literal["LATEST", "TRIM_HORIZON"]) -> None:
        """Check the stream's identity and list its shards."""
        stream = find_stream(self._client, self._stream_name)
        if stream != self._stream:
            if self._stream is not None:
                log.warning("%s was recreated: reading it from its start", self._stream_name)
            self._stream, self._cursors = stream, {}
        # A shard that is no longer listed was closed so long ago that it is empty.
        self._cursors = {
            shard_id: self._cursors.get(shard_id)
            or ShardCursor(self._client, self._stream_name, shard_id, start=start)
            for shard_id in list_shards(self._client, self._stream_name)
        }
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def _read_shard(self, cursor: ShardCursor, found: list[bytes]) -> None:
        for _ in range(_MAX_READS):
            if cursor.ended:
                return
            self._stop.beat()
            try:
                batch = cursor.read(_RECORDS)
            except PositionLost as error:
                log.warning("%s; reading the shard from its start", error)
                continue
            found += [record.data for record in batch.records]
            if not batch.records:
                return
