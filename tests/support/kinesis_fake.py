"""Kinesis in memory, with what no emulator does: throttling, retention, iterators that age."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError

AWAY = EndpointConnectionError(endpoint_url="http://127.0.0.1:1")


def client_error(code: str) -> ClientError:
    """Make an error as boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": "said by the test"}}, "Operation")


@dataclass
class FakeShard:
    """A shard; sequence numbers are places in `records`, from 1."""

    records: list[bytes] = field(default_factory=list)
    parents: tuple[str, ...] = ()
    closed: bool = False
    trimmed: int = 0
    """How many of the first records are gone."""
    empty_reads: int = 0
    """How many reads come back empty although there are records."""


class FakeKinesis:
    """A boto3 client of a Kinesis with one stream.

    Args:
        shards: Ids of its shards.
    """

    class exceptions:  # noqa: N801 - boto3's name
        """Errors by name."""

        class InvalidArgumentException(ClientError):
            """A sequence number that the shard does not know."""

        class ResourceNotFoundException(ClientError):
            """A stream or shard that does not exist."""

    def __init__(self, *shards: str) -> None:
        self.created_at = datetime(2026, 1, 1, tzinfo=UTC)
        self.status = "ACTIVE"
        self.shards = {shard_id: FakeShard() for shard_id in shards or ("a",)}
        self.faults = deque[Exception | None]()
        """Raised by the next calls, one each; None: that call succeeds."""
        self.throttled: Iterator[int] = iter(())
        """How many of its first entries each next PutRecords refuses."""
        self.invalid: dict[bytes, str] = {}
        """Data for which it refuses a whole PutRecords, with the error's code."""
        self.broken_off = 0
        """How many next PutRecords take their records and raise all the same."""
        self.is_remade_after_put = False
        """The next PutRecords is the last call that the stream sees."""
        self.calls: list[str] = []
        self.puts: list[tuple[str, list[dict[str, Any]]]] = []
        """Stream and entries of every PutRecords that was answered."""
        self.taken: list[bytes] = []
        """Data of every entry that was not refused."""
        self.reads: list[tuple[str, int]] = []
        """Shard and place of every read that was answered."""
        self._generation = 0

    def remake(self) -> None:
        """Forget all records, as an emulator does that restarts."""
        self.created_at += timedelta(hours=1)
        self.shards = {shard_id: FakeShard() for shard_id in self.shards}

    def expire_iterators(self) -> None:
        """Refuse every iterator that was given out."""
        self._generation += 1

    def describe_stream_summary(self, **_: str) -> dict[str, Any]:
        self._called("describe_stream_summary")
        summary = {"StreamStatus": self.status, "StreamCreationTimestamp": self.created_at}
        return {"StreamDescriptionSummary": summary}

    def get_paginator(self, name: str) -> "FakeKinesis":
        assert name == "list_shards"
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        self._called("list_shards")
        for shard_id, shard in list(self.shards.items()):
            numbers = {"StartingSequenceNumber": "0"}
            if shard.closed:
                numbers["EndingSequenceNumber"] = str(len(shard.records))
            row: dict[str, Any] = {"ShardId": shard_id, "SequenceNumberRange": numbers}
            row |= dict(
                zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False)
            )
            yield {"Shards": [row]}

    def get_shard_iterator(self, **request: str) -> dict[str, str]:
        self._called("get_shard_iterator")
        shard, kind = self.shards[request["ShardId"]], request["ShardIteratorType"]
        place = len(shard.records) if kind == "LATEST" else shard.trimmed
        if kind == "AT_SEQUENCE_NUMBER":
            number = int(request["StartingSequenceNumber"])
            if number > len(shard.records):
                error = {"Error": {"Code": "InvalidArgumentException", "Message": "not known"}}
                raise self.exceptions.InvalidArgumentException(error, "GetShardIterator")  # type: ignore[arg-type] # a part of it
            place = max(place, number - 1)
        return {"ShardIterator": self._iterator(request["ShardId"], place)}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - boto3's name
        self._called("get_records")
        shard_id, text, generation = ShardIterator.split("/")
        if int(generation) != self._generation:
            raise client_error("ExpiredIteratorException")
        shard, place = self.shards.get(shard_id, FakeShard()), int(text)
        self.reads.append((shard_id, place))
        found = shard.records[place : place + Limit]
        if shard.empty_reads:
            shard.empty_reads -= 1
            found = []
        after = place + len(found)
        behind = max(0, len(shard.records) - after)
        answer: dict[str, Any] = {
            "Records": [
                {
                    "SequenceNumber": str(place + 1 + i),
                    "Data": data,
                    "ApproximateArrivalTimestamp": datetime.now(UTC),
                }
                for i, data in enumerate(found)
            ],
            "MillisBehindLatest": behind * 1000,
        }
        if not shard.closed or behind:
            answer["NextShardIterator"] = self._iterator(shard_id, after)
        return answer

    def put_records(self, *, StreamName: str, Records: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._called("put_records")
        if codes := [self.invalid[e["Data"]] for e in Records if e["Data"] in self.invalid]:
            raise client_error(codes[0])
        self.puts.append((StreamName, list(Records)))
        refused = next(self.throttled, 0)
        answers: list[dict[str, str]] = []
        for number, entry in enumerate(Records):
            if number < refused:
                code = "ProvisionedThroughputExceededException"
                answers.append({"ErrorCode": code, "ErrorMessage": "Rate exceeded"})
                continue
            shard_id = list(self.shards)[number % len(self.shards)]
            records = self.shards[shard_id].records
            records.append(entry["Data"])
            self.taken.append(entry["Data"])
            answers.append({"ShardId": shard_id, "SequenceNumber": str(len(records))})
        if self.is_remade_after_put:
            self.is_remade_after_put = False
            self.remake()
        if self.broken_off:
            self.broken_off -= 1
            raise AWAY
        return {"Records": answers, "FailedRecordCount": min(refused, len(Records))}

    def _iterator(self, shard_id: str, place: int) -> str:
        return f"{shard_id}/{place}/{self._generation}"

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.faults and (fault := self.faults.popleft()):
            raise fault
