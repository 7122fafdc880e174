"""What is new on a stream is read once, whatever happens to stream and connection."""

from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from simulation_business import stream_reader as module
from simulation_business.pulse import Pulse
from simulation_business.stream_reader import StreamReader
from support.stream_in_memory import AWAY, StreamInMemory, refusal

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

FIRST = "shardId-000000000000"


class Hasty(Pulse):
    """Does not wait."""

    def wait(self, seconds: float) -> bool:
        assert seconds > 0
        return self.stopping


@pytest.fixture(autouse=True)
def _look_at_every_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def pulse(tmp_path: Path) -> Pulse:
    return Hasty(tmp_path / "heartbeat")


@pytest.fixture
def kinesis() -> StreamInMemory:
    return StreamInMemory()


@pytest.fixture
def reader(kinesis: StreamInMemory, pulse: Pulse) -> StreamReader:
    """It has begun."""
    kinesis.shards[FIRST] += [b"old"]
    reader = StreamReader(cast("KinesisClient", kinesis), "results", pulse)
    assert reader.begin()
    return reader


def test_only_what_comes_later_is_read_and_once(
    reader: StreamReader, kinesis: StreamInMemory
) -> None:
    assert reader.read() == []
    kinesis.shards[FIRST] += [b"1", b"2"]
    assert reader.read() == [b"1", b"2"]
    assert reader.read() == []


def test_much_is_read_in_parts(reader: StreamReader, kinesis: StreamInMemory) -> None:
    records = [str(number).encode() for number in range(12_345)]
    kinesis.shards[FIRST] += records
    found = reader.read()
    assert len(found) == 5000
    while part := reader.read():
        found += part
    assert found == records


@pytest.mark.parametrize(
    "fault", [AWAY, refusal("ProvisionedThroughputExceededException"), refusal("Odd")]
)
@pytest.mark.parametrize("calls_before", range(3))
def test_fault_loses_nothing(
    reader: StreamReader, kinesis: StreamInMemory, fault: Exception, calls_before: int
) -> None:
    reader.read()
    kinesis.shards[FIRST] += [b"1"]
    kinesis.faults.extend([*[None] * calls_before, fault])
    found = reader.read() + reader.read() + reader.read()
    # Nothing was read before: the position is lost with the iterator, and read from the start.
    assert found in ([b"1"], [b"old", b"1"])
    kinesis.shards[FIRST] += [b"2"]
    kinesis.faults.extend([*[None] * calls_before, fault])
    assert reader.read() + reader.read() == [b"2"]


def test_expired_iterator_goes_on_after_what_was_read(
    reader: StreamReader, kinesis: StreamInMemory
) -> None:
    kinesis.shards[FIRST] += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.expire_iterators()
    kinesis.shards[FIRST] += [b"2"]
    assert reader.read() + reader.read() == [b"2"]


def test_stream_that_was_made_anew_is_read_from_its_start(
    reader: StreamReader, kinesis: StreamInMemory
) -> None:
    kinesis.shards[FIRST] += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.make_anew()
    kinesis.shards[FIRST] += [b"new 1", b"new 2", b"new 3"]
    assert reader.read() == [b"new 1", b"new 2", b"new 3"]


def test_stream_that_was_away_is_looked_at_before_it_is_read_on(
    reader: StreamReader, kinesis: StreamInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an emulator that restarted has could be another stream of the same name."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 1000.0)
    kinesis.shards[FIRST] += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.faults.append(AWAY)
    assert reader.read() == []
    kinesis.make_anew()
    kinesis.shards[FIRST] += [b"new 1", b"new 2", b"new 3"]
    assert reader.read() == [b"new 1", b"new 2", b"new 3"]


def test_shards_that_are_added_are_read_from_their_start(
    reader: StreamReader, kinesis: StreamInMemory
) -> None:
    kinesis.closed.add(FIRST)
    kinesis.shards[FIRST] += [b"last"]
    kinesis.shards[kinesis.add_shard()] += [b"first"]
    assert reader.read() == [b"last", b"first"]
    reads = kinesis.calls.count("get_records")
    assert reader.read() == []
    assert kinesis.calls.count("get_records") == reads + 1, "a closed shard is not read again"


def test_shard_that_is_gone_stops_nothing(reader: StreamReader, kinesis: StreamInMemory) -> None:
    second = kinesis.add_shard()
    reader.read()
    del kinesis.shards[FIRST]
    kinesis.shards[second] += [b"1"]
    assert reader.read() == [b"1"]


def test_stream_that_is_not_there_yet_is_waited_for(kinesis: StreamInMemory, pulse: Pulse) -> None:
    reader = StreamReader(cast("KinesisClient", kinesis), "results", pulse)
    kinesis.faults.extend(
        [AWAY, refusal("ResourceNotFoundException"), None, AWAY, None, None, AWAY]
    )
    assert reader.begin()
    kinesis.shards[FIRST] += [b"1"]
    assert reader.read() == [b"1"]


def test_order_to_stop_ends_the_wait_for_a_stream(kinesis: StreamInMemory, pulse: Pulse) -> None:
    reader = StreamReader(cast("KinesisClient", kinesis), "results", pulse)
    pulse.order_stop()
    assert not reader.begin()
