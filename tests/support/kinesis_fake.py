"""Kinesis in memory, for what no emulator does: throttling, retention, iterators that age."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError


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
    """The calls of a boto3 client that the stream server makes."""

    class exceptions:  # noqa: N801 - as boto3 has it
        """Errors by name."""

        class InvalidArgumentException(ClientError):
            """A sequence number that the shard does not know."""

        class ResourceNotFoundException(ClientError):
            """A stream or shard that is not there."""

    def __init__(self) -> None:
        self.created_at = datetime(2026, 1, 1, tzinfo=UTC)
        self.shards: dict[str, FakeShard] = {"a": FakeShard()}
        self.failures: list[Exception] = []
        """Raised one by one, before anything is answered."""
        self.reads: list[tuple[str, int]] = []
        """Every read that was answered: shard, place."""
        self.throttled_entries = 0
        """How many entries are refused before one is taken."""
        self.put: list[tuple[str, list[dict[str, Any]]]] = []
        """Every call of `put_records`: stream, entries."""
        self.taken: list[tuple[str, bytes]] = []
        """Every entry that was not refused: stream, data."""
        self.expired: set[str] = set()

    def describe_stream_summary(self, **_: str) -> dict[str, Any]:
        self._fail()
        summary = {"StreamStatus": "ACTIVE", "StreamCreationTimestamp": self.created_at}
        return {"StreamDescriptionSummary": summary}

    def get_paginator(self, _: str) -> "FakeKinesis":
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        for shard_id, shard in self.shards.items():
            numbers = {"StartingSequenceNumber": "0"}
            if shard.closed:
                numbers["EndingSequenceNumber"] = str(len(shard.records))
            row: dict[str, Any] = {"ShardId": shard_id, "SequenceNumberRange": numbers}
            row |= dict(
                zip(("ParentShardId", "AdjacentParentShardId"), shard.parents, strict=False)
            )
            yield {"Shards": [row]}

    def get_shard_iterator(self, **request: str) -> dict[str, str]:
        self._fail()
        shard = self.shards[request["ShardId"]]
        place = shard.trimmed
        if request["ShardIteratorType"] == "AT_SEQUENCE_NUMBER":
            number = int(request["StartingSequenceNumber"])
            if number > len(shard.records):
                error = {"Error": {"Code": "InvalidArgumentException", "Message": "not known"}}
                raise self.exceptions.InvalidArgumentException(error, "GetShardIterator")  # type: ignore[arg-type]  # a part of an answer
            place = max(place, number - 1)
        return {"ShardIterator": f"{request['ShardId']}:{place}:{len(self.reads)}"}

    def get_records(self, *, ShardIterator: str, Limit: int) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._fail()
        if ShardIterator in self.expired:
            raise client_error("ExpiredIteratorException")
        shard_id, text, _ = ShardIterator.split(":")
        shard, place = self.shards[shard_id], int(text)
        self.reads.append((shard_id, place))
        found = shard.records[place : place + Limit]
        if shard.empty_reads:
            shard.empty_reads -= 1
            found = []
        after = place + len(found)
        behind = len(shard.records) - after
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
            answer["NextShardIterator"] = f"{shard_id}:{after}:{len(self.reads)}"
        return answer

    def put_records(self, *, StreamName: str, Records: Sequence[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803 - boto3's names
        self._fail()
        self.put.append((StreamName, list(Records)))
        answers: list[dict[str, str]] = []
        for entry in Records:
            if self.throttled_entries:
                self.throttled_entries -= 1
                code = "ProvisionedThroughputExceededException"
                answers.append({"ErrorCode": code, "ErrorMessage": "Rate exceeded"})
            else:
                answers.append({"ShardId": "a", "SequenceNumber": entry["PartitionKey"]})
                self.taken.append((StreamName, entry["Data"]))
        return {"Records": answers, "FailedRecordCount": sum("ErrorCode" in a for a in answers)}

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)


def client_error(code: str) -> ClientError:
    """An error as boto3 raises it."""
    return ClientError({"Error": {"Code": code, "Message": "said by the test"}}, "Operation")


def no_connection() -> EndpointConnectionError:
    """Nobody listens."""
    return EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
