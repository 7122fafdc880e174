"""Every customer gets onto the stream, and its prediction's name is known."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from mlstack.contract.customer_schema import Customer
from mlstack.streams.record_ids import record_prediction_id
from simulation_business.pulse import Pulse, Unavailable
from simulation_business.record_sender import MOST_RECORDS, RecordSender
from support.stream_in_memory import AWAY, StreamInMemory, refusal

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

CUSTOMERS: list[Customer] = [{"number": number} for number in range(1200)]


class Hasty(Pulse):
    """Does not wait; does something else instead."""

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        return self.stopping


@pytest.fixture
def pulse(tmp_path: Path) -> Hasty:
    return Hasty(tmp_path / "heartbeat")


@pytest.fixture
def kinesis() -> StreamInMemory:
    return StreamInMemory(shards=2)


def sender_of(kinesis: StreamInMemory, pulse: Pulse, give_up: float = math.inf) -> RecordSender:
    return RecordSender(cast("KinesisClient", kinesis), "predictions", pulse, give_up)


def ids(sender: RecordSender, customers: list[Customer]) -> list[str]:
    return [one for sent in sender.put(customers) for one in sent.prediction_ids]


def on_stream(kinesis: StreamInMemory) -> list[Customer]:
    found = [json.loads(body) for bodies in kinesis.shards.values() for body in bodies]
    return sorted(found, key=lambda customer: customer["number"])


def names(kinesis: StreamInMemory) -> set[str]:
    return {
        record_prediction_id("predictions", kinesis._made, shard_id, str(number))
        for shard_id, bodies in kinesis.shards.items()
        for number in range(len(bodies))
    }


def test_records_are_named_as_the_server_names_them(kinesis: StreamInMemory, pulse: Pulse) -> None:
    found = ids(sender_of(kinesis, pulse), CUSTOMERS)
    assert set(found) == names(kinesis)
    assert len(found) == len(CUSTOMERS)
    assert on_stream(kinesis) == CUSTOMERS
    assert kinesis.calls.count("put_records") == math.ceil(len(CUSTOMERS) / MOST_RECORDS)


def test_records_that_are_not_taken_are_put_again_and_no_others(
    kinesis: StreamInMemory, pulse: Pulse
) -> None:
    kinesis.throttled.extend([500, 499, 250, 1])
    found = ids(sender_of(kinesis, pulse), CUSTOMERS)
    assert set(found) == names(kinesis)
    assert on_stream(kinesis) == CUSTOMERS


@pytest.mark.parametrize(
    "fault",
    [
        AWAY,
        refusal("ProvisionedThroughputExceededException"),
        refusal("InternalFailure"),
        refusal("ResourceNotFoundException"),
    ],
)
def test_calls_that_fail_are_made_again(
    kinesis: StreamInMemory, pulse: Pulse, fault: Exception
) -> None:
    kinesis.faults.extend([fault, None, fault, fault, None, None, fault])
    found = ids(sender_of(kinesis, pulse), CUSTOMERS)
    assert on_stream(kinesis) == CUSTOMERS
    assert set(found) == names(kinesis)


def test_call_that_breaks_off_loses_nobody(kinesis: StreamInMemory, pulse: Pulse) -> None:
    kinesis.broken_off = 1
    found = ids(sender_of(kinesis, pulse), CUSTOMERS[:10])
    assert len(found) == 10
    assert on_stream(kinesis) == sorted(CUSTOMERS[:10] * 2, key=lambda c: str(c["number"]))


def test_stream_that_was_made_anew_meanwhile_gets_the_records_again(
    kinesis: StreamInMemory, pulse: Pulse
) -> None:
    sender = sender_of(kinesis, pulse)
    ids(sender, CUSTOMERS[:5])
    kinesis.make_anew(shards=2)
    found = ids(sender, CUSTOMERS[5:10])
    assert set(found) <= names(kinesis)
    assert {c["number"] for c in on_stream(kinesis)} == {5, 6, 7, 8, 9}


def test_records_that_went_with_their_stream_are_put_on_the_new_one(
    kinesis: StreamInMemory, pulse: Pulse
) -> None:
    kinesis.goes_after_put = True
    found = ids(sender_of(kinesis, pulse), CUSTOMERS[:10])
    assert set(found) == names(kinesis)
    assert on_stream(kinesis) == CUSTOMERS[:10]


def test_stream_that_is_still_being_made_is_waited_for(
    kinesis: StreamInMemory, tmp_path: Path
) -> None:
    class Finishing(Hasty):
        def wait(self, seconds: float) -> bool:
            kinesis.status = "ACTIVE"
            return super().wait(seconds)

    kinesis.status = "CREATING"
    assert len(ids(sender_of(kinesis, Finishing(tmp_path / "heartbeat")), CUSTOMERS[:5])) == 5


def test_order_to_stop_ends_the_tries(kinesis: StreamInMemory, tmp_path: Path) -> None:
    class Stopping(Hasty):
        def wait(self, seconds: float) -> bool:
            self.order_stop()
            return super().wait(seconds)

    kinesis.faults.extend([AWAY] * 9)
    assert ids(sender_of(kinesis, Stopping(tmp_path / "heartbeat")), CUSTOMERS) == []
    assert len(kinesis.faults) == 8


def test_kinesis_that_stays_away_is_named_in_a_sentence(
    kinesis: StreamInMemory, pulse: Pulse
) -> None:
    kinesis.faults.extend([AWAY] * 9)
    with pytest.raises(Unavailable, match="putting records on stream predictions failed"):
        ids(sender_of(kinesis, pulse, give_up=0), CUSTOMERS)
