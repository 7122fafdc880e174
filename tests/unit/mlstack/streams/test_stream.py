"""A stream is known by its name and time of creation; its records name their predictions."""

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mlstack.streams import stream as module
from mlstack.streams.stream import Stream, StreamIdentity
from mlstack.waiting import Stop
from tests.support.kinesis_fake import AWAY, FakeKinesis

CREATED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOOK_SECONDS", "_FIRST_RETRY_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)


def _identity(kinesis: FakeKinesis, stop: Stop) -> StreamIdentity:
    return StreamIdentity(kinesis, "predictions", stop)  # type: ignore[arg-type] # a fake


def test_prediction_id_never_changes() -> None:
    """A record has the same prediction id in each release, in whatever time zone."""
    expected = "f922d3b8-a51f-586a-8b60-2c141222b6d1"
    elsewhere = CREATED_AT.astimezone(timezone(timedelta(hours=5)))
    for created_at in (CREATED_AT, elsewhere):
        assert Stream("predictions", created_at).prediction_id("shardId-0", "17") == expected


def test_prediction_id_is_version_5_uuid() -> None:
    """It is what the standard library makes of stream, creation time, shard and number."""
    namespace = uuid.UUID(bytes=module._NAMESPACE)
    for number in range(200):
        expected = uuid.uuid5(namespace, f"größe/{int(CREATED_AT.timestamp())}/shard/{number}")
        assert Stream("größe", CREATED_AT).prediction_id("shard", str(number)) == str(expected)


def test_prediction_id_depends_on_creation_time() -> None:
    """A stream made anew has other prediction ids."""
    later = Stream("predictions", CREATED_AT + timedelta(hours=1))
    assert later.prediction_id("a", "1") != Stream("predictions", CREATED_AT).prediction_id(
        "a", "1"
    )


def test_confirm_waits_until_stream_is_seen() -> None:
    """While Kinesis is away or the stream is being made, the question stays open."""
    kinesis, stop = FakeKinesis(), Stop()
    identity = _identity(kinesis, stop)
    stream = identity.wait()
    kinesis.faults.extend([AWAY] * 3)
    assert identity.confirm(stream)
    kinesis.remake()
    assert not identity.confirm(stream)
    stop.request()
    kinesis.faults.append(AWAY)
    assert not identity.confirm(stream)


def test_look_returns_none_while_stream_is_unreadable() -> None:
    """A look does not wait."""
    kinesis = FakeKinesis()
    identity = _identity(kinesis, Stop())
    kinesis.faults.append(AWAY)
    assert identity.look() is None
    kinesis.status = "CREATING"
    assert identity.look() is None
    kinesis.status = "ACTIVE"
    assert identity.look() == Stream("predictions", CREATED_AT)
