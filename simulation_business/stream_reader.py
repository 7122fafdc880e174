"""Reads new records of all shards of a stream, through restarts of Kinesis' emulator."""

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
"""How often to check whether the stream is still the same, and which shards it has."""

_RECORDS = 1000
_MAX_READS = 5
"""Reads of a shard at a time: AWS allows five a second."""

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.2, 10.0


class StreamReader:
    """Reads records from the moment of `begin` on; for one thread.

    Args:
        client: Of Kinesis, without retries of its own.
        stream_name: The stream.
        stop: Ends waits.
        give_up: How long Kinesis may be away, seconds.
    """

    def __init__(
        self, client: "KinesisClient", stream_name: str, stop: Stop, give_up: float = math.inf
    ) -> None:
        self._client, self._stream_name, self._stop = client, stream_name, stop
        self._retry = Retry(
            *(log, f"reading stream {stream_name}", BotoCoreError, ClientError),
            stop=stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
            give_up=give_up,
        )
        self._stream: Stream | None = None
        self._cursors: dict[str, ShardCursor] = {}
        self._look_at = 0.0

    def begin(self) -> None:
        """Note where each shard ends now; what comes later will be read.

        Raises:
            Stopped: the order to stop came first.
            Unavailable: Kinesis has been away for too long.
        """
        self._retry(self._begin)

    def read(self) -> list[bytes]:
        """Read what is new. While Kinesis is away this waits, until the order to stop.

        Raises:
            Unavailable: Kinesis has been away for too long.
        """
        found = list[bytes]()
        with suppress(Stopped):
            self._retry(self._read_new, found)
        return found

    def _begin(self) -> None:
        if self._stop.ordered:
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
            # Positions are kept, but another stream of that name may be there next time.
            self._look_at = 0.0
            raise

    def _look(self, start: Literal["LATEST", "TRIM_HORIZON"]) -> None:
        """Look at the stream and list its shards."""
        stream = find_stream(self._client, self._stream_name)
        if stream != self._stream:
            if self._stream is not None:
                log.warning("%s was made anew: reading it from its start", self._stream_name)
            self._stream, self._cursors = stream, {}
        # A shard that is no longer listed has been closed for so long that it is empty.
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
