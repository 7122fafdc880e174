"""Every customer gets onto the stream, and the sender knows the id of each prediction."""

import json
import math

import pytest

from mlstack.contract.customer_schema import Customer
from mlstack.streams import stream as stream_module
from mlstack.streams.client import StreamError
from mlstack.streams.publishing import MAX_RECORDS
from mlstack.streams.stream import Stream
from mlstack.waiting import Stop, Stopped, Unavailable
from simulation_business.record_sender import RecordSender
from tests.support.hasty_stop import HastyStop
from tests.support.kinesis_fake import AWAY, FakeKinesis, client_error

CUSTOMERS: list[Customer] = [{"number": number} for number in range(1200)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def stop() -> Stop:
    return HastyStop()


@pytest.fixture
def kinesis() -> FakeKinesis:
    return FakeKinesis("a", "b")


def sender_of(kinesis: FakeKinesis, stop: Stop, give_up: float = math.inf) -> RecordSender:
    return RecordSender(kinesis, "predictions", stop, give_up)  # type: ignore[arg-type] # a fake


def send(sender: RecordSender, customers: list[Customer]) -> list[str]:
    """Send customers; return the ids of their predictions."""
    found: list[str] = []
    sender.send(customers, lambda prediction_ids, _: found.extend(prediction_ids))
    return found


def on_stream(kinesis: FakeKinesis) -> list[Customer]:
    found = [json.loads(body) for shard in kinesis.shards.values() for body in shard.records]
    return sorted(found, key=lambda customer: customer["number"])


def ids(kinesis: FakeKinesis) -> set[str]:
    """The ids by which the server names the predictions of all records."""
    stream = Stream("predictions", kinesis.created_at)
    return {
        stream.prediction_id(shard_id, str(number))
        for shard_id, shard in kinesis.shards.items()
        for number in range(1, len(shard.records) + 1)
    }


def test_sender_knows_prediction_ids(kinesis: FakeKinesis, stop: Stop) -> None:
    """The ids are those that the server gives."""
    found = send(sender_of(kinesis, stop), CUSTOMERS)
    assert set(found) == ids(kinesis)
    assert len(found) == len(CUSTOMERS)
    assert on_stream(kinesis) == CUSTOMERS
    assert len(kinesis.puts) == math.ceil(len(CUSTOMERS) / MAX_RECORDS)


@pytest.mark.parametrize("name", ["a" * 1024 * 1024, "invalid"])
def test_impossible_customer_is_an_error(kinesis: FakeKinesis, stop: Stop, name: str) -> None:
    """A customer that no stream takes is not sent for ever; the others are put."""
    bad: Customer = {"number": 0, name: 1}
    kinesis.invalid = {json.dumps({"number": 0, "invalid": 1}).encode(): "ValidationException"}
    with pytest.raises(StreamError, match="1 of 4 records cannot be put on a stream: "):
        send(sender_of(kinesis, stop), [*CUSTOMERS[:2], bad, CUSTOMERS[3]])
    assert on_stream(kinesis) == [*CUSTOMERS[:2], CUSTOMERS[3]]


def test_refused_records_are_put_again(kinesis: FakeKinesis, stop: Stop) -> None:
    """Records that are not taken are put again, and no others."""
    kinesis.throttled = iter([500, 499, 250, 1])
    found = send(sender_of(kinesis, stop), CUSTOMERS)
    assert set(found) == ids(kinesis)
    assert on_stream(kinesis) == CUSTOMERS


@pytest.mark.parametrize(
    "fault",
    [
        AWAY,
        client_error("ProvisionedThroughputExceededException"),
        client_error("InternalFailure"),
        client_error("ResourceNotFoundException"),
    ],
)
def test_failed_calls_are_repeated(kinesis: FakeKinesis, stop: Stop, fault: Exception) -> None:
    """Calls that fail, at any time, lose nobody and double nobody."""
    kinesis.faults.extend([fault, None, fault, fault, None, None, fault])
    found = send(sender_of(kinesis, stop), CUSTOMERS)
    assert on_stream(kinesis) == CUSTOMERS
    assert set(found) == ids(kinesis)


def test_broken_call_loses_nobody(kinesis: FakeKinesis, stop: Stop) -> None:
    """Records of a call that broke off after they were taken are put a second time."""
    kinesis.broken_off = 1
    found = send(sender_of(kinesis, stop), CUSTOMERS[:10])
    assert len(found) == 10
    assert on_stream(kinesis) == sorted(CUSTOMERS[:10] * 2, key=lambda c: str(c["number"]))


def test_remade_stream_gets_records_again(kinesis: FakeKinesis, stop: Stop) -> None:
    """Records count only when their stream was there before and after the call."""
    sender = sender_of(kinesis, stop)
    send(sender, CUSTOMERS[:5])
    kinesis.remake()
    found = send(sender, CUSTOMERS[5:10])
    assert set(found) <= ids(kinesis)
    assert {c["number"] for c in on_stream(kinesis)} == {5, 6, 7, 8, 9}


def test_records_lost_with_their_stream_are_put_again(kinesis: FakeKinesis, stop: Stop) -> None:
    """A stream that is remade right after the call has lost the records."""
    kinesis.is_remade_after_put = True
    found = send(sender_of(kinesis, stop), CUSTOMERS[:10])
    assert set(found) == ids(kinesis)
    assert on_stream(kinesis) == CUSTOMERS[:10]


def test_stream_in_creation_is_waited_for(kinesis: FakeKinesis) -> None:
    """Sending begins when the stream is active."""

    class Finishing(HastyStop):
        def wait(self, seconds: float) -> bool:
            kinesis.status = "ACTIVE"
            return super().wait(seconds)

    kinesis.status = "CREATING"
    assert len(send(sender_of(kinesis, Finishing()), CUSTOMERS[:5])) == 5


def test_sending_stops_on_order(kinesis: FakeKinesis) -> None:
    """After the stop request nothing more is tried."""

    class Stopping(HastyStop):
        def wait(self, seconds: float) -> bool:
            self.request()
            return super().wait(seconds)

    kinesis.faults.extend([AWAY] * 9)
    sender = sender_of(kinesis, Stopping())
    for left in (8, 8):
        with pytest.raises(Stopped):
            send(sender, CUSTOMERS)
        assert len(kinesis.faults) == left


def test_long_outage_is_an_error(kinesis: FakeKinesis, stop: Stop) -> None:
    """The error names the stream."""
    kinesis.faults.extend([AWAY] * 9)
    with pytest.raises(Unavailable, match=r"stream predictions failed for 0 s"):
        send(sender_of(kinesis, stop, give_up=0), CUSTOMERS)
