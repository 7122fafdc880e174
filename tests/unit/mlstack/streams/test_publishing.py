"""Every message gets into the stream, however often Kinesis has to be asked."""

import itertools
import threading

import pytest

from mlstack.streams import publishing
from mlstack.streams.publishing import MAX_BYTES, MAX_RECORD_BYTES, Message, Publisher
from mlstack.waiting import Stop, Stopped
from tests.support.kinesis_fake import AWAY, FakeKinesis, client_error


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "_FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(publishing, "_LAST_RETRY_SECONDS", 0.01)


@pytest.fixture
def kinesis() -> FakeKinesis:
    return FakeKinesis()


@pytest.fixture
def stop() -> Stop:
    return Stop(grace=60)


@pytest.fixture
def publisher(kinesis: FakeKinesis, stop: Stop) -> Publisher:
    return Publisher(kinesis, "results", stop)  # type: ignore[arg-type] # a fake


def messages(count: int, size: int = 3) -> list[Message]:
    return [Message(f"{i:06}", str(i).rjust(size).encode()) for i in range(count)]


def test_publish_puts_batches_of_500_in_order(publisher: Publisher, kinesis: FakeKinesis) -> None:
    """Messages are put in their order, as many at a time as Kinesis takes."""
    publisher.publish(messages(1201))
    assert [(name, len(entries)) for name, entries in kinesis.puts] == [
        ("results", 500),
        ("results", 500),
        ("results", 201),
    ]
    assert kinesis.taken == [m.data for m in messages(1201)]


def test_publish_limits_bytes_of_a_batch(publisher: Publisher, kinesis: FakeKinesis) -> None:
    """No call is larger than Kinesis takes."""
    publisher.publish(messages(12, size=MAX_RECORD_BYTES - 6))
    sizes = [
        sum(len(e["Data"]) + len(e["PartitionKey"]) for e in entries) for _, entries in kinesis.puts
    ]
    assert max(sizes) <= MAX_BYTES
    assert len(sizes) == 3


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Message("k", bytes(MAX_RECORD_BYTES)), "1,048,577 bytes"),
        (Message("k" * 257, b""), "257 characters"),
        (Message("", b"x"), "0 characters"),
    ],
)
def test_publish_hands_back_impossible_message(
    publisher: Publisher, kinesis: FakeKinesis, bad: Message, reason: str
) -> None:
    """A message that no stream takes is handed back unsent; the others are put."""
    (refused,) = publisher.publish([*messages(2), bad])
    assert refused.message == bad
    assert reason in refused.reason
    assert kinesis.taken == [m.data for m in messages(2)]


@pytest.mark.parametrize("code", ["InvalidArgumentException", "ValidationException"])
def test_publish_hands_back_what_kinesis_calls_invalid(
    publisher: Publisher, kinesis: FakeKinesis, code: str
) -> None:
    """Kinesis refuses a whole call for one message: that one is found, and never tried again."""
    batch = messages(100)
    bad = batch[37].data
    kinesis.invalid = {bad: code}
    (refused,) = publisher.publish(batch)
    assert refused.message.data == bad
    assert code in refused.reason
    assert kinesis.taken == [m.data for m in batch if m.data != bad]
    assert len(kinesis.calls) < 20


def test_publish_nothing_makes_no_call(publisher: Publisher, kinesis: FakeKinesis) -> None:
    """Without messages Kinesis is not asked."""
    publisher.publish([])
    assert kinesis.calls == []


def test_publish_retries_refused_entries_only(publisher: Publisher, kinesis: FakeKinesis) -> None:
    """Only entries that Kinesis refused are put again."""
    kinesis.throttled = iter([10, 2])
    publisher.publish(messages(10))
    assert [len(entries) for _, entries in kinesis.puts] == [10, 10, 2]
    assert sorted(kinesis.taken) == [m.data for m in messages(10)]


def test_publish_retries_failed_calls(publisher: Publisher, kinesis: FakeKinesis) -> None:
    """A call that fails is repeated until it works."""
    kinesis.faults.extend(
        [
            client_error("ProvisionedThroughputExceededException"),
            client_error("ResourceNotFoundException"),
            *[AWAY] * 20,
        ]
    )
    publisher.publish(messages(3))
    assert len(kinesis.taken) == 3


def test_publish_stops_on_order(publisher: Publisher, kinesis: FakeKinesis, stop: Stop) -> None:
    """The stop request ends the retries, and the caller learns that messages are missing."""
    kinesis.throttled = itertools.repeat(3)
    timer = threading.Timer(0.05, stop.request)
    timer.start()
    with pytest.raises(Stopped):
        publisher.publish(messages(3))
    timer.join()


def test_publish_finishes_within_grace(
    publisher: Publisher, kinesis: FakeKinesis, stop: Stop
) -> None:
    """After the stop request, messages that Kinesis takes are still put."""
    stop.request()
    publisher.publish(messages(1200))
    assert len(kinesis.taken) == 1200


def test_publish_ends_with_grace(kinesis: FakeKinesis) -> None:
    """When the grace period is over nothing more is put."""
    stop = Stop(grace=-1)
    stop.request()
    with pytest.raises(Stopped):
        Publisher(kinesis, "results", stop).publish(messages(1))  # type: ignore[arg-type] # a fake
    assert kinesis.puts == []
