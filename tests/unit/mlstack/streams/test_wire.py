"""Tests of the short ways around botocore: they mean the same as its own."""

import base64
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from mlstack.streams.client import kinesis_client

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

RECORD = {
    "SequenceNumber": "4" * 56,
    "PartitionKey": "key",
    "Data": base64.b64encode(b"\x00\xff{}").decode(),
    "ApproximateArrivalTimestamp": 1767225600.123,
    "EncryptionType": "NONE",
}
RECORDS = {"Records": [RECORD] * 3, "NextShardIterator": "next", "MillisBehindLatest": 1500}


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


class _Body:
    """The body of an answer, as urllib3 gives it."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, **_: Any) -> list[bytes]:
        return [self._content]


def ask(
    client: "KinesisClient", call: Callable[["KinesisClient"], Any], answer: Any, status: int = 200
) -> tuple[Any, Any]:
    """Make a call whose answer is given; return the request's JSON and what the call returns."""
    sent = list[Any]()

    def send(request: AWSPreparedRequest, **_: Any) -> Any:
        assert isinstance(request.body, bytes)
        sent.append(json.loads(request.body))
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return AWSResponse(request.url, status, HTTPHeaders(), _Body(content))

    client.meta.events.register("before-send.kinesis.*", send)
    return sent, call(client)


def both(call: Callable[["KinesisClient"], Any], answer: Any) -> list[tuple[Any, Any]]:
    """Ask in our way and in botocore's, and leave out what is known of the HTTP exchange."""
    found = [ask(client, call, answer) for client in (kinesis_client(), boto3.client("kinesis"))]
    for _, result in found:
        result.pop("ResponseMetadata")
    return found


def test_records_are_read_as_botocore_does() -> None:
    """Data are bytes and times have a zone; the rest is as it was sent."""
    ours, botos = both(lambda client: client.get_records(ShardIterator="i", Limit=5), RECORDS)
    assert ours == botos
    assert ours[1]["Records"][0]["Data"] == b"\x00\xff{}"


def test_null_is_read_as_absent() -> None:
    """The end of a shard has no next iterator."""
    answer: Any = {"Records": [], "NextShardIterator": None, "MillisBehindLatest": None}
    ours, botos = both(lambda client: client.get_records(ShardIterator="i"), answer)
    assert ours == botos
    assert ours[1] == {"Records": []}


def test_records_are_written_as_botocore_does() -> None:
    """Each entry has its key and its data; the answer says what became of each."""
    entries: Any = [{"PartitionKey": f"k{n}", "Data": b"\x00\xff" * n} for n in range(4)]
    taken = {"SequenceNumber": "1", "ShardId": "shardId-000000000000"}
    refused = {"ErrorCode": "InternalFailure", "ErrorMessage": "Internal service failure."}
    answer = {"FailedRecordCount": 1, "Records": [taken, refused]}
    ours, botos = both(
        lambda client: client.put_records(StreamName="results", Records=entries), answer
    )
    assert ours == botos
    assert len(ours[0][0]["Records"]) == 4
    assert len(entries) == 4


def test_times_of_streams_are_read_as_botocore_does() -> None:
    """A stream is known by the time of its creation."""
    answer = {"StreamDescriptionSummary": {"StreamCreationTimestamp": 1767225600.5}}
    ours, botos = both(lambda client: client.describe_stream_summary(StreamName="s"), answer)
    assert ours == botos


def test_refused_read_raises_client_error() -> None:
    """An error is botocore's own."""
    answer = {"__type": "ExpiredIteratorException", "message": "too old"}
    with pytest.raises(ClientError, match="too old") as caught:
        ask(kinesis_client(), lambda c: c.get_records(ShardIterator="i"), answer, status=400)
    assert caught.value.response["Error"]["Code"] == "ExpiredIteratorException"


def test_answer_that_is_no_json_is_left_to_botocore() -> None:
    """A proxy's page has no records."""
    _, answer = ask(
        kinesis_client(), lambda client: client.get_records(ShardIterator="i"), b"<html>"
    )
    assert "Records" not in answer
