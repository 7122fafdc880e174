"""Every message gets into the stream, however often Kinesis has to be asked."""

import threading
from pathlib import Path

import pytest

from server.stream import publisher as publisher_module
from server.stream.heartbeat import Heartbeat
from server.stream.patience import Stop
from server.stream.publisher import MAX_BYTES, MAX_RECORD_BYTES, Message, Publisher
from support.kinesis_fake import FakeKinesis, client_error, no_connection


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher_module, "_FIRST_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(publisher_module, "_LAST_RETRY_SECONDS", 0.01)


@pytest.fixture
def kinesis() -> FakeKinesis:
    return FakeKinesis()


@pytest.fixture
def stop() -> Stop:
    return Stop(grace=60)


@pytest.fixture
def publisher(kinesis: FakeKinesis, stop: Stop, tmp_path: Path) -> Publisher:
    return Publisher(kinesis, "results", stop, Heartbeat(tmp_path / "beat"))  # type: ignore[arg-type]


def messages(count: int, size: int = 3) -> list[Message]:
    return [Message(f"{i:06}", str(i).rjust(size).encode()) for i in range(count)]


def test_messages_are_put_in_batches_of_500_in_order(
    publisher: Publisher, kinesis: FakeKinesis
) -> None:
    assert publisher.publish(messages(1201))
    assert [len(entries) for _, entries in kinesis.put] == [500, 500, 201]
    assert kinesis.taken == [("results", m.data) for m in messages(1201)]


def test_no_batch_is_larger_than_kinesis_takes(publisher: Publisher, kinesis: FakeKinesis) -> None:
    large = messages(12, size=MAX_RECORD_BYTES - 6)
    assert publisher.publish(large)
    sizes = [
        sum(len(e["Data"]) + len(e["PartitionKey"]) for e in entries) for _, entries in kinesis.put
    ]
    assert max(sizes) <= MAX_BYTES
    assert len(sizes) == 3


def test_message_that_never_fits_is_a_defect_of_the_caller(publisher: Publisher) -> None:
    with pytest.raises(ValueError, match="never fits"):
        publisher.publish(messages(1, size=MAX_RECORD_BYTES))


def test_nothing_to_publish_asks_nobody(publisher: Publisher, kinesis: FakeKinesis) -> None:
    assert publisher.publish([])
    assert kinesis.put == []


def test_only_entries_that_were_refused_are_put_again(
    publisher: Publisher, kinesis: FakeKinesis
) -> None:
    kinesis.throttled_entries = 12
    assert publisher.publish(messages(10))
    assert [len(entries) for _, entries in kinesis.put] == [10, 10, 2]
    assert sorted(kinesis.taken) == [("results", m.data) for m in messages(10)]


def test_call_that_fails_is_repeated_until_it_works(
    publisher: Publisher, kinesis: FakeKinesis
) -> None:
    kinesis.failures = [
        client_error("ProvisionedThroughputExceededException"),
        client_error("ResourceNotFoundException"),
        *(no_connection() for _ in range(20)),
    ]
    assert publisher.publish(messages(3))
    assert len(kinesis.taken) == 3


def test_order_to_stop_ends_the_tries_and_says_that_something_is_missing(
    publisher: Publisher, kinesis: FakeKinesis, stop: Stop
) -> None:
    kinesis.throttled_entries = 1_000_000_000
    threading.Timer(0.05, stop.order).start()
    assert not publisher.publish(messages(3))


def test_order_to_stop_lets_a_batch_that_goes_through_finish(
    publisher: Publisher, kinesis: FakeKinesis, stop: Stop
) -> None:
    stop.order()
    assert publisher.publish(messages(1200))
    assert len(kinesis.taken) == 1200


def test_grace_that_is_over_ends_it(kinesis: FakeKinesis, tmp_path: Path) -> None:
    stop = Stop(grace=-1)
    stop.order()
    publisher = Publisher(kinesis, "results", stop, Heartbeat(tmp_path / "beat"))  # type: ignore[arg-type]
    assert not publisher.publish(messages(1))
    assert kinesis.put == []
