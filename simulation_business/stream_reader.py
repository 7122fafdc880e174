"""Reads what is new on a stream, all of its shards, through restarts of whoever keeps it."""

import logging
import math
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from botocore.exceptions import BotoCoreError, ClientError

from simulation_business.pulse import Patience, Pulse

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_LOOK_SECONDS = 5.0
"""How often it is looked whether the stream is still the same, and which shards it has."""

_RECORDS = 1000
_MOST_CALLS = 5
"""Reads of a shard at a time: AWS allows five a second."""


@dataclass(slots=True)
class _Shard:
    """How far a shard has been read."""

    begin: Literal["LATEST", "TRIM_HORIZON"]
    iterator: str | None = None
    last: str | None = None
    ended: bool = False


class StreamReader:
    """Reads records from the moment of `begin` on; for one thread.

    Args:
        client: Of Kinesis, without retries of its own.
        stream: Name of the stream.
        pulse: Ends waits.
        give_up_seconds: How long Kinesis may be away; infinite: until the order to stop.
    """

    def __init__(
        self,
        client: "KinesisClient",
        stream: str,
        pulse: Pulse,
        give_up_seconds: float = math.inf,
    ) -> None:
        self._client, self._stream, self._pulse = client, stream, pulse
        self._patience = Patience(pulse, f"reading stream {stream}", give_up_seconds)
        self._created_at: datetime | None = None
        self._shards: dict[str, _Shard] = {}
        self._look_at = 0.0

    def begin(self) -> bool:
        """Notes where each shard ends now; what comes later will be read.

        Returns:
            False: the order to stop was given before that was possible.

        Raises:
            Unavailable: Kinesis has been away for too long.
        """
        while not self._pulse.stopping:
            self._created_at, self._shards = None, {}
            try:
                if self._look("LATEST"):
                    for shard_id, shard in self._shards.items():
                        self._open(shard_id, shard)
                    self._patience.succeeded()
                    return True
                self._patience.again("the stream is not ready")
            except (BotoCoreError, ClientError) as error:
                self._patience.again(error)
        return False

    def read(self) -> list[bytes]:
        """Reads what is new; nothing when the stream cannot be read just now.

        Raises:
            Unavailable: Kinesis has been away for too long.
        """
        found = list[bytes]()
        try:
            if time.monotonic() >= self._look_at and not self._look("TRIM_HORIZON"):
                return found
            for shard_id, shard in self._shards.items():
                self._read_shard(shard_id, shard, found)
            self._patience.succeeded()
        except (BotoCoreError, ClientError) as error:
            # Whatever it was, positions are kept; but it may be another stream that comes back.
            self._look_at = 0.0
            self._patience.again(error)
        return found

    def _look(self, begin: Literal["LATEST", "TRIM_HORIZON"]) -> bool:
        """Looks at the stream and lists its shards; returns whether it can be read."""
        answer = self._client.describe_stream_summary(StreamName=self._stream)
        summary = answer["StreamDescriptionSummary"]
        if summary["StreamStatus"] not in {"ACTIVE", "UPDATING"}:
            return False
        created_at = summary["StreamCreationTimestamp"]
        if created_at != self._created_at:
            if self._created_at is not None:
                log.warning("stream %s was made anew: reading it from its start", self._stream)
            self._created_at, self._shards = created_at, {}
        pages = self._client.get_paginator("list_shards").paginate(StreamName=self._stream)
        # A shard that is not listed any more has been closed for so long that it is empty.
        self._shards = {
            shard["ShardId"]: self._shards.get(shard["ShardId"], _Shard(begin))
            for page in pages
            for shard in page["Shards"]
        }
        self._look_at = time.monotonic() + _LOOK_SECONDS
        return True

    def _open(self, shard_id: str, shard: _Shard) -> str:
        """Makes a shard's iterator: after what was read last, else where it begins."""
        if shard.last is None:
            answer = self._client.get_shard_iterator(
                StreamName=self._stream, ShardId=shard_id, ShardIteratorType=shard.begin
            )
            # Should it expire before anything came: what came meanwhile is not to be passed over.
            shard.begin = "TRIM_HORIZON"
        else:
            answer = self._client.get_shard_iterator(
                StreamName=self._stream,
                ShardId=shard_id,
                ShardIteratorType="AFTER_SEQUENCE_NUMBER",
                StartingSequenceNumber=shard.last,
            )
        shard.iterator = answer["ShardIterator"]
        return shard.iterator

    def _read_shard(self, shard_id: str, shard: _Shard, found: list[bytes]) -> None:
        for _ in range(_MOST_CALLS):
            if shard.ended:
                return
            self._pulse.beat()
            iterator, shard.iterator = shard.iterator or self._open(shard_id, shard), None
            answer = self._client.get_records(ShardIterator=iterator, Limit=_RECORDS)
            records = answer["Records"]
            if records:
                shard.last = records[-1]["SequenceNumber"]
                found += [record["Data"] for record in records]
            shard.iterator = answer.get("NextShardIterator")
            shard.ended = shard.iterator is None
            if not records:
                return
