"""Kinesis in memory, with the faults that no emulator has: throttling, expiry, half a batch."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


def refusal(code: str) -> ClientError:
    """An error as AWS answers it."""
    return ClientError({"Error": {"Code": code, "Message": code}}, "Operation")


AWAY = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


class StreamInMemory:
    """One stream.

    Args:
        shards: How many shards it has.
    """

    def __init__(self, shards: int = 1) -> None:
        self.faults: deque[Exception | None] = deque()
        """Raised by the next calls of any kind; None: that call is all right."""
        self.throttled: deque[int] = deque()
        """Of the next calls of PutRecords: how many of its first records are not taken."""
        self.broken_off = 0
        """Next calls of PutRecords that take their records and raise all the same."""
        self.goes_after_put = False
        """The next call of PutRecords is the last one that the stream sees."""
        self.status = "ACTIVE"
        self.calls: list[str] = []
        self._generation = 0
        self._made = datetime(2026, 1, 1, tzinfo=UTC)
        self.make_anew(shards)

    def make_anew(self, shards: int = 1) -> None:
        """Forgets everything, as an emulator does that restarts."""
        self._made += timedelta(hours=1)
        self.closed: set[str] = set()
        self.shards: dict[str, list[bytes]] = {}
        for _ in range(shards):
            self.add_shard()

    def add_shard(self) -> str:
        """Adds a shard; returns its id."""
        shard_id = f"shardId-{len(self.shards):012}"
        self.shards[shard_id] = []
        return shard_id

    def expire_iterators(self) -> None:
        """No iterator that was given out can be used any more."""
        self._generation += 1

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.faults and (fault := self.faults.popleft()):
            raise fault

    def describe_stream_summary(self, **_: Any) -> dict[str, Any]:
        self._called("describe_stream_summary")
        summary = {"StreamStatus": self.status, "StreamCreationTimestamp": self._made}
        return {"StreamDescriptionSummary": summary}

    def put_records(self, *, Records: list[dict[str, Any]], **_: Any) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self._called("put_records")
        refused = self.throttled.popleft() if self.throttled else 0
        answers: list[dict[str, str]] = []
        for number, record in enumerate(Records):
            if number < refused:
                answers.append({"ErrorCode": "ProvisionedThroughputExceededException"})
                continue
            shard_id = list(self.shards)[number % len(self.shards)]
            self.shards[shard_id].append(record["Data"])
            place = str(len(self.shards[shard_id]) - 1)
            answers.append({"ShardId": shard_id, "SequenceNumber": place})
        if self.goes_after_put:
            self.goes_after_put = False
            self.make_anew(len(self.shards))
        if self.broken_off:
            self.broken_off -= 1
            raise AWAY
        return {"Records": answers, "FailedRecordCount": min(refused, len(Records))}

    def get_paginator(self, name: str) -> "StreamInMemory":
        assert name == "list_shards"
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        self._called("list_shards")
        for shard_id in list(self.shards):
            yield {"Shards": [{"ShardId": shard_id}]}

    def get_shard_iterator(
        self,
        *,
        ShardId: str,  # noqa: N803 - boto3's name
        ShardIteratorType: str,  # noqa: N803 - boto3's name
        StartingSequenceNumber: str = "",  # noqa: N803 - boto3's name
        **_: Any,
    ) -> dict[str, Any]:
        self._called("get_shard_iterator")
        begin = {
            "LATEST": len(self.shards[ShardId]),
            "TRIM_HORIZON": 0,
            "AFTER_SEQUENCE_NUMBER": int(StartingSequenceNumber or 0) + 1,
        }[ShardIteratorType]
        return {"ShardIterator": self._iterator(ShardId, begin)}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - as above
        self._called("get_records")
        shard_id, place, generation = ShardIterator.split("/")
        if int(generation) != self._generation:
            raise refusal("ExpiredIteratorException")
        begin, records = int(place), self.shards.get(shard_id, [])
        found = [
            {"SequenceNumber": str(number), "Data": records[number]}
            for number in range(begin, min(begin + Limit, len(records)))
        ]
        answer: dict[str, Any] = {"Records": found}
        end = begin + len(found)
        if shard_id not in self.closed or end < len(records):
            answer["NextShardIterator"] = self._iterator(shard_id, end)
        return answer

    def _iterator(self, shard_id: str, place: int) -> str:
        return f"{shard_id}/{place}/{self._generation}"
