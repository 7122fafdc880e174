"""Every record of every shard reaches the processor, in order; nothing is silently skipped."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlstack import locks as locks_module
from mlstack.errors import MlstackError
from mlstack.heartbeat import Heartbeat
from mlstack.streams import stream as stream_module
from mlstack.streams.reading import Record
from mlstack.streams.stream import Stream, StreamIdentity
from mlstack.waiting import Stop
from server.stream import polling as polling_module
from server.stream import shard_reader as reader_module
from server.stream.checkpoints import Checkpoints
from server.stream.liveness import Liveness
from server.stream.metrics import StreamMetrics
from server.stream.polling import PollingEngine
from server.stream.shard_reader import EngineContext
from tests.support.kinesis_fake import AWAY, FakeKinesis, FakeShard, client_error
from tests.support.waiting import wait_until


class Processor:
    """Takes every batch, unless it is told not to."""

    def __init__(self) -> None:
        self.seen: list[tuple[datetime, str, str]] = []
        """Made at, shard, sequence number."""
        self.refusing = False
        self.failure: Exception | None = None

    def process(self, stream: Stream, shard_id: str, records: Sequence[Record]) -> bool:
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        if self.refusing:
            return False
        self.seen += [(stream.created_at, shard_id, r.sequence_number) for r in records]
        return True

    def numbers(self, shard_id: str) -> list[int]:
        return [int(number) for _, shard, number in self.seen if shard == shard_id]


class Bench:
    """An engine over a Kinesis in memory; each `running` block is a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kinesis, self.processor, self.metrics = FakeKinesis(), Processor(), StreamMetrics()

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = Stop(grace=5)
        context = EngineContext(
            client=self.kinesis,  # type: ignore[arg-type] # a fake
            identity=StreamIdentity(self.kinesis, "predictions", stop),  # type: ignore[arg-type] # a fake
            process=self.processor.process,
            metrics=self.metrics,
            stop=stop,
            liveness=Liveness(Heartbeat(self.folder / "beat", 60)),
        )
        engine = PollingEngine(context, "predictions", self.folder)
        thread = threading.Thread(target=engine.run)
        thread.start()
        try:
            yield
        finally:
            stop.request()
            thread.join(20)
            assert not thread.is_alive()

    def put(self, shard_id: str, count: int) -> None:
        self.kinesis.shards[shard_id].records += [b"record"] * count

    def wait_for(self, shard_id: str, last: int) -> None:
        wait_until(lambda: last in self.processor.numbers(shard_id), f"{shard_id} is read")

    @property
    def lost(self) -> float | None:
        return self.metrics.registry.get_sample_value("mlstack_stream_checkpoint_lost_total")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (stream_module, "_LOOK_SECONDS"),
        (stream_module, "_FIRST_RETRY_SECONDS"),
        (polling_module, "_TURN_SECONDS"),
        (polling_module, "_LOOK_SECONDS"),
        (polling_module, "_LIST_SECONDS"),
        (locks_module, "_LOOK_SECONDS"),
        (reader_module, "READ_SECONDS"),
        (reader_module, "_FIRST_RETRY_SECONDS"),
        (reader_module, "_LAST_RETRY_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_restart_continues_after_last_answered(bench: Bench) -> None:
    """A restart begins behind the last record that was answered."""
    bench.put("a", 5)
    with bench.running():
        bench.wait_for("a", 5)
    bench.put("a", 5)
    with bench.running():
        bench.wait_for("a", 10)
    assert bench.processor.numbers("a") == list(range(1, 11))
    assert bench.lost == 0


def test_unanswered_batch_is_read_again(bench: Bench) -> None:
    """A checkpoint moves only over answered records."""
    bench.put("a", 3)
    bench.processor.refusing = True
    with bench.running():
        wait_until(lambda: len(bench.kinesis.reads) > 3, "it reads")
    bench.processor.refusing = False
    with bench.running():
        bench.wait_for("a", 3)
    assert bench.processor.numbers("a") == [1, 2, 3]


def test_failed_reader_is_replaced(bench: Bench) -> None:
    """A reader with a defect is replaced by one that begins at the checkpoint."""
    bench.processor.failure = RuntimeError("a defect")
    bench.put("a", 3)
    with bench.running():
        bench.wait_for("a", 3)
    assert bench.processor.numbers("a") == [1, 2, 3]


def test_faults_of_kinesis_are_waited_out(bench: Bench) -> None:
    """Throttling, lost connections and a missing stream lose no record."""
    bench.put("a", 3)
    faults = (
        AWAY,
        client_error("ProvisionedThroughputExceededException"),
        client_error("LimitExceededException"),
        client_error("ResourceNotFoundException"),
        client_error("InternalFailure"),
    )
    bench.kinesis.faults.extend(faults * 3)
    with bench.running():
        bench.wait_for("a", 3)
    assert bench.processor.numbers("a") == [1, 2, 3]


def test_expired_iterator_is_replaced(bench: Bench) -> None:
    """Reading continues where the expired iterator stood."""
    bench.put("a", 3)
    with bench.running():
        bench.wait_for("a", 3)
        bench.kinesis.expire_iterators()
        bench.put("a", 2)
        bench.wait_for("a", 5)
    assert bench.processor.numbers("a") == [1, 2, 3, 4, 5]
    assert bench.lost == 0


def test_empty_reads_are_not_the_end(bench: Bench) -> None:
    """A checkpoint is not lost because Kinesis takes several reads to come to a record."""
    bench.put("a", 3)
    with bench.running():
        bench.wait_for("a", 3)
    bench.kinesis.shards["a"].empty_reads = 4
    bench.put("a", 1)
    with bench.running():
        bench.wait_for("a", 4)
    assert bench.processor.numbers("a") == [1, 2, 3, 4]
    assert bench.lost == 0


def test_trimmed_checkpoint_is_noticed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """Kinesis itself goes on with the next record that it has, as if nothing was skipped."""
    bench.put("a", 5)
    with bench.running():
        bench.wait_for("a", 5)
    bench.put("a", 5)
    bench.kinesis.shards["a"].trimmed = 7
    with bench.running():
        bench.wait_for("a", 10)
    assert bench.processor.numbers("a") == [1, 2, 3, 4, 5, 8, 9, 10]
    assert bench.lost == 1
    assert "position 5 of a is lost" in caplog.text


def test_unknown_checkpoint_is_noticed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A checkpoint that the stream never had leads to a read from the start."""
    bench.put("a", 5)
    with bench.running():
        bench.wait_for("a", 5)
    bench.kinesis.shards["a"].records = [b"record"] * 2
    with bench.running():
        wait_until(lambda: bench.processor.numbers("a")[5:] == [1, 2], "it is read from the start")
    assert bench.lost == 1
    assert "is lost" in caplog.text


def test_remade_stream_is_read_from_its_start(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old iterator still works and would begin behind the new stream's first records."""
    # The reader itself has to notice, before the engine comes to look.
    monkeypatch.setattr(polling_module, "_LOOK_SECONDS", 1.0)
    bench.put("a", 5)
    made_at = bench.kinesis.created_at
    with bench.running():
        bench.wait_for("a", 5)
        again = datetime(2026, 1, 2, tzinfo=UTC)
        bench.kinesis.created_at = again
        bench.kinesis.shards["a"].records = [b"record"] * 8
        wait_until(lambda: (again, "a", "8") in bench.processor.seen, "the new one is read")
    assert bench.processor.seen == [
        *((made_at, "a", str(number)) for number in range(1, 6)),
        *((again, "a", str(number)) for number in range(1, 9)),
    ]
    assert bench.lost == 1
    assert "was recreated" in caplog.text


def test_children_are_read_after_their_parents(bench: Bench) -> None:
    """Order per key outlives resharding."""
    bench.kinesis.shards = {
        "d": FakeShard([b"record"] * 3, parents=("b", "c")),
        "b": FakeShard([b"record"] * 3, parents=("a",), closed=True),
        "c": FakeShard([b"record"] * 3, parents=("a",), closed=True),
        "a": FakeShard([b"record"] * 3, closed=True),
    }
    with bench.running():
        bench.wait_for("d", 3)
    order = [shard for _, shard, _ in bench.processor.seen]
    assert order[:3] == ["a"] * 3
    assert sorted(order[3:9]) == ["b"] * 3 + ["c"] * 3
    assert order[9:] == ["d"] * 3


def test_ended_shard_is_not_read_again(bench: Bench) -> None:
    """A restart remembers which shards are answered to their end."""
    bench.kinesis.shards = {
        "a": FakeShard([b"record"] * 3, closed=True),
        "b": FakeShard([b"record"] * 3, parents=("a",)),
    }
    with bench.running():
        bench.wait_for("b", 3)
    bench.put("b", 1)
    with bench.running():
        bench.wait_for("b", 4)
    assert bench.processor.numbers("a") == [1, 2, 3]


def test_shard_without_listed_parents_is_read(bench: Bench) -> None:
    """A shard need not wait for parents that the stream no longer has."""
    bench.kinesis.shards = {"b": FakeShard([b"record"] * 3, parents=("gone", "gone too"))}
    with bench.running():
        bench.wait_for("b", 3)


def test_new_shards_are_found(bench: Bench) -> None:
    """A shard that appears is read."""
    with bench.running():
        bench.kinesis.shards["new"] = FakeShard([b"record"] * 3)
        bench.wait_for("new", 3)


def test_vanished_shard_is_noticed(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    """A shard that is gone before its end counts as a lost checkpoint."""
    bench.kinesis.shards["b"] = FakeShard([b"record"] * 3)
    with bench.running():
        bench.wait_for("b", 3)
        del bench.kinesis.shards["b"]
        wait_until(lambda: bench.lost == 1, "it is noticed")
    assert "b of stream predictions expired" in caplog.text


def test_second_engine_waits_for_the_first(bench: Bench) -> None:
    """Only one engine reads; the next one continues from its checkpoints."""
    second = Bench(bench.folder)
    second.kinesis = bench.kinesis
    bench.put("a", 3)
    with bench.running():
        bench.wait_for("a", 3)
        with second.running():
            bench.put("a", 3)
            bench.wait_for("a", 6)
    assert second.processor.seen == []
    with second.running():
        bench.put("a", 1)
        second.wait_for("a", 7)
    assert second.processor.numbers("a") == [7]


def test_metrics_show_shards_being_read(bench: Bench) -> None:
    """Lag and checkpoint age are shown while a shard is read."""

    def shown(name: str) -> float | None:
        return bench.metrics.registry.get_sample_value(
            f"mlstack_stream_{name}_seconds", {"shard_id": "a"}
        )

    with bench.running():
        bench.put("a", 3)
        bench.wait_for("a", 3)
        wait_until(lambda: shown("lag") == 0, "it has caught up")
        assert (shown("checkpoint_age") or 0) < 5
    assert shown("lag") is None


def test_broken_checkpoint_file_is_refused(tmp_path: Path) -> None:
    """The error says what to do."""
    path = tmp_path / "checkpoints.json"
    path.write_text('{"shards": "none"}')
    with pytest.raises(MlstackError, match="remove it"):
        Checkpoints(path, Stream("predictions", datetime.now(UTC)))
