"""A shard's processor checkpoints what is answered, and raises nothing into kcl-rs."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kcl_rs import CheckpointError

from mlstack.heartbeat import Heartbeat
from mlstack.streams import stream as stream_module
from mlstack.streams.reading import Record
from mlstack.streams.stream import Stream, StreamIdentity
from mlstack.waiting import Stop
from server.stream import kcl
from server.stream.liveness import Liveness
from server.stream.metrics import StreamMetrics
from server.stream.shard_reader import EngineContext
from tests.support.kinesis_fake import FakeKinesis


class Checkpointer:
    """Notes checkpoints; fails with the given errors first."""

    def __init__(self, *errors: str) -> None:
        self.errors = list(errors)
        self.checkpoints: list[str | None] = []

    def checkpoint(self, number: str | None = None, _: int | None = None) -> None:
        if self.errors:
            error = CheckpointError()
            error.value = self.errors.pop(0)
            raise error
        self.checkpoints.append(number)


class Bench:
    """A processor of shard `a` with everything around it in memory."""

    def __init__(self, folder: Path) -> None:
        self.kinesis, self.metrics, self.stop = FakeKinesis(), StreamMetrics(), Stop()
        self.in_hand = kcl._BatchesInHand()
        self.answered: list[str] = []
        self.outcome: Callable[[], bool] = lambda: True
        context = EngineContext(
            client=self.kinesis,  # type: ignore[arg-type] # a fake
            identity=StreamIdentity(self.kinesis, "predictions", self.stop),  # type: ignore[arg-type] # a fake
            process=self._process,
            metrics=self.metrics,
            stop=self.stop,
            liveness=Liveness(Heartbeat(folder / "beat", 60)),
        )
        stream = Stream("predictions", self.kinesis.created_at)
        self.processor = kcl._ShardProcessor(stream, context, self.in_hand)

    def _process(self, _: Stream, __: str, records: Sequence[Record]) -> bool:
        done = self.outcome()
        self.answered += [record.sequence_number for record in records] if done else []
        return done

    def initialize(self, position: str = "TRIM_HORIZON") -> None:
        start: Any = SimpleNamespace(shard_id="a", sequence_number=position)
        self.processor.initialize(start)

    def process(self, checkpointer: Checkpointer, *numbers: str) -> None:
        records = [
            SimpleNamespace(
                sequence_number=number,
                sub_sequence_number=None,
                data=b"",
                approximate_arrival_timestamp=datetime.now(UTC),
            )
            for number in numbers
        ]
        batch: Any = SimpleNamespace(
            records=records, checkpointer=checkpointer, millis_behind_latest=0
        )
        self.processor.process_records(batch)

    @property
    def lost(self) -> float | None:
        return self.metrics.registry.get_sample_value("mlstack_stream_checkpoint_lost_total")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    for module, name in (
        (stream_module, "_LOOK_SECONDS"),
        (kcl, "READ_SECONDS"),
        (kcl, "_FIRST_RETRY_SECONDS"),
    ):
        monkeypatch.setattr(module, name, 0.001)
    return Bench(tmp_path)


def test_answered_batch_is_checkpointed(bench: Bench) -> None:
    """A batch is checkpointed at its last record, however often that has to be tried."""
    bench.initialize()
    checkpointer = Checkpointer("ThrottlingException", "KinesisClientLibDependencyException")
    bench.process(checkpointer, "1", "2")
    bench.process(checkpointer, "3")
    assert bench.answered == ["1", "2", "3"]
    assert checkpointer.checkpoints == ["2", "3"]


def test_nothing_is_answered_after_unanswered_batch(bench: Bench) -> None:
    """A checkpoint must not move over records that were not answered."""
    bench.initialize()
    bench.outcome = lambda: False
    checkpointer = Checkpointer()
    bench.process(checkpointer, "1")
    bench.outcome = lambda: True
    bench.process(checkpointer, "2")
    end: Any = SimpleNamespace(checkpointer=checkpointer)
    bench.processor.shard_ended(end)
    assert (bench.answered, checkpointer.checkpoints) == ([], [])


def test_defect_is_not_raised_into_kcl(bench: Bench) -> None:
    """An exception would drop the batch: the process ends instead, its checkpoint in place."""

    def fail() -> bool:
        raise RuntimeError("a defect")

    bench.initialize()
    bench.outcome = fail
    checkpointer = Checkpointer()
    bench.process(checkpointer, "1")
    assert bench.in_hand.failed
    assert checkpointer.checkpoints == []


def test_lost_lease_ends_checkpoints(bench: Bench) -> None:
    """The next holder of the lease answers what comes after."""
    bench.initialize()
    checkpointer = Checkpointer("ShutdownException")
    bench.process(checkpointer, "1")
    bench.process(checkpointer, "2")
    assert (bench.answered, checkpointer.checkpoints) == (["1"], [])
    assert not bench.in_hand.failed


def test_closed_engine_takes_no_batch(bench: Bench) -> None:
    """Once the engine ends, batches stay for the next one."""
    bench.initialize()
    bench.in_hand.close()
    checkpointer = Checkpointer()
    bench.process(checkpointer, "1")
    assert (bench.answered, checkpointer.checkpoints) == ([], [])


def test_remade_stream_is_not_answered(bench: Bench) -> None:
    """Records that may belong to another stream are not answered."""
    bench.initialize()
    bench.kinesis.remake()
    bench.process(Checkpointer(), "1")
    assert bench.answered == []


@pytest.mark.parametrize(("trimmed", "lost"), [(1, 0), (2, 1)])
def test_trimmed_checkpoint_is_noticed(bench: Bench, trimmed: int, lost: int) -> None:
    """kcl-rs silently continues with the oldest record when the checkpoint's is gone."""
    shard = bench.kinesis.shards["a"]
    shard.records, shard.trimmed, shard.empty_reads = [b"record"] * 5, trimmed, 2
    bench.initialize("2")
    assert bench.lost == lost
