"""New records of a stream are read once, whatever happens to the stream and the connection."""

import pytest

from mlstack.waiting import Stop, Stopped
from simulation_business import stream_reader as module
from simulation_business.stream_reader import StreamReader
from tests.support.hasty_stop import HastyStop
from tests.support.kinesis_fake import AWAY, FakeKinesis, FakeShard, client_error


@pytest.fixture(autouse=True)
def _look_at_every_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.0)


@pytest.fixture
def stop() -> Stop:
    return HastyStop()


@pytest.fixture
def kinesis() -> FakeKinesis:
    return FakeKinesis("a")


def reader_of(kinesis: FakeKinesis, stop: Stop) -> StreamReader:
    return StreamReader(kinesis, "results", stop)  # type: ignore[arg-type] # a fake


@pytest.fixture
def reader(kinesis: FakeKinesis, stop: Stop) -> StreamReader:
    """A reader that has begun."""
    kinesis.shards["a"].records += [b"old"]
    reader = reader_of(kinesis, stop)
    reader.begin()
    return reader


def test_only_later_records_are_read(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """Records that come after the beginning are read, once."""
    assert reader.read() == []
    kinesis.shards["a"].records += [b"1", b"2"]
    assert reader.read() == [b"1", b"2"]
    assert reader.read() == []


def test_many_records_are_read_in_parts(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """A read returns after a while even when there is more."""
    records = [str(number).encode() for number in range(12_345)]
    kinesis.shards["a"].records += records
    found = reader.read()
    assert len(found) == 5000
    while part := reader.read():
        found += part
    assert found == records


@pytest.mark.parametrize(
    "fault", [AWAY, client_error("ProvisionedThroughputExceededException"), client_error("Odd")]
)
@pytest.mark.parametrize("calls_before", range(3))
def test_fault_loses_nothing(
    reader: StreamReader, kinesis: FakeKinesis, fault: Exception, calls_before: int
) -> None:
    """A call that fails, whichever it is, loses no record."""
    reader.read()
    kinesis.shards["a"].records += [b"1"]
    kinesis.faults.extend([*[None] * calls_before, fault])
    found = reader.read() + reader.read() + reader.read()
    # Nothing was read before, so there is no position when the iterator is lost.
    assert found in ([b"1"], [b"old", b"1"])
    kinesis.shards["a"].records += [b"2"]
    kinesis.faults.extend([*[None] * calls_before, fault])
    assert reader.read() + reader.read() == [b"2"]


def test_expired_iterator_is_replaced(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """Reading continues after the last record that was read."""
    kinesis.shards["a"].records += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.expire_iterators()
    kinesis.shards["a"].records += [b"2"]
    assert reader.read() + reader.read() == [b"2"]


def test_remade_stream_is_read_from_start(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """All records of a stream that was recreated are new."""
    kinesis.shards["a"].records += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.remake()
    kinesis.shards["a"].records += [b"new 1", b"new 2", b"new 3"]
    assert reader.read() == [b"new 1", b"new 2", b"new 3"]


def test_stream_is_checked_after_an_outage(
    reader: StreamReader, kinesis: FakeKinesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a restart an emulator may have another stream of the same name."""
    monkeypatch.setattr(module, "_LOOK_SECONDS", 1000.0)
    kinesis.shards["a"].records += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.faults.append(AWAY)
    kinesis.remake()
    kinesis.shards["a"].records += [b"new 1", b"new 2", b"new 3"]
    assert reader.read() == [b"new 1", b"new 2", b"new 3"]


def test_added_shards_are_read_from_their_start(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """Shards that come from resharding are read whole; a closed one is not read again."""
    kinesis.shards["a"].closed = True
    kinesis.shards["a"].records += [b"last"]
    kinesis.shards["b"] = FakeShard([b"first"])
    assert reader.read() == [b"last", b"first"]
    reads = kinesis.calls.count("get_records")
    assert reader.read() == []
    assert kinesis.calls.count("get_records") == reads + 1


def test_removed_shard_stops_nothing(reader: StreamReader, kinesis: FakeKinesis) -> None:
    """The other shards are read on."""
    kinesis.shards["b"] = FakeShard()
    reader.read()
    del kinesis.shards["a"]
    kinesis.shards["b"].records += [b"1"]
    assert reader.read() == [b"1"]


def test_trimmed_position_is_read_from_the_start(
    reader: StreamReader, kinesis: FakeKinesis
) -> None:
    """A position that the shard no longer has loses no record that it still has."""
    kinesis.shards["a"].records += [b"1"]
    assert reader.read() == [b"1"]
    kinesis.expire_iterators()
    kinesis.shards["a"].records += [b"2", b"3"]
    kinesis.shards["a"].trimmed = 3
    assert reader.read() == [b"3"]


def test_begin_waits_for_stream(kinesis: FakeKinesis, stop: Stop) -> None:
    """A stream that is not there yet is waited for."""
    reader = reader_of(kinesis, stop)
    kinesis.faults.extend(
        [AWAY, client_error("ResourceNotFoundException"), None, AWAY, None, None, AWAY]
    )
    reader.begin()
    kinesis.shards["a"].records += [b"1"]
    assert reader.read() == [b"1"]


def test_begin_stops_on_order(kinesis: FakeKinesis, stop: Stop) -> None:
    """The stop request ends the wait for a stream."""
    stop.request()
    with pytest.raises(Stopped):
        reader_of(kinesis, stop).begin()


def test_read_stops_on_order(reader: StreamReader, kinesis: FakeKinesis, stop: Stop) -> None:
    """The stop request ends a read while Kinesis is away."""
    stop.request()
    kinesis.faults.append(AWAY)
    assert reader.read() == []
