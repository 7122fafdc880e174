"""The stream simulator says of each record whether it was answered, refused or is missing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from mlstack.contract.customer_schema import Customer
from mlstack.prediction_log.prediction import Outcome
from simulation_business import send_data_kinesis as module
from simulation_business.outcomes import Outcomes
from simulation_business.pulse import Pulse
from simulation_business.record_sender import RecordSender
from simulation_business.send_data_kinesis import StreamSimulator
from simulation_business.stream_reader import StreamReader
from support.stream_in_memory import StreamInMemory

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SHARD = "shardId-000000000000"
CUSTOMERS: list[Customer] = [{"number": number} for number in range(3)]


class Streams:
    """A business on streams in memory, and whatever answers it."""

    def __init__(self, folder: Path) -> None:
        pulse = Pulse(folder / "heartbeat")
        self.predictions, self.results, self.letters = (StreamInMemory() for _ in range(3))
        self.sender = RecordSender(cast("KinesisClient", self.predictions), "predictions", pulse, 0)
        self.reported: list[Outcome] = []
        self.business = StreamSimulator(
            sender=self.sender,
            results=StreamReader(cast("KinesisClient", self.results), "results", pulse),
            dead_letters=StreamReader(cast("KinesisClient", self.letters), "letters", pulse),
            answer="chance",
            outcomes=Outcomes(self, share=1, delay=0, seed=1),
            pulse=pulse,
        )

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        self.reported += outcomes
        return True

    def prediction_id(self, number: int) -> str:
        prediction_id = self.sender.prediction_id(SHARD, str(number))
        assert prediction_id is not None
        return prediction_id

    def answer(self, number: int) -> None:
        result = {"chance": 0.5, "prediction_id": self.prediction_id(number)}
        self.results.shards[SHARD].append(json.dumps(result).encode())

    def refuse(self, number: int) -> None:
        letter = {"shard_id": SHARD, "sequence_number": str(number), "errors": ["no customer"]}
        self.letters.shards[SHARD].append(json.dumps(letter).encode())


@pytest.fixture
def streams(tmp_path: Path) -> Streams:
    return Streams(tmp_path)


def test_answered_batch_is_said_with_its_outcomes(
    streams: Streams, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    streams.business.send(CUSTOMERS)
    for number in range(3):
        streams.answer(number)
    streams.answer(0)  # at-least-once
    streams.business.between()
    streams.business.between()
    (line,) = [m for m in caplog.messages if m.startswith("batch ")]
    assert "sent=3 answered=3 refused=0 waiting=0 missing=0 chance_mean=0.500" in line
    assert {outcome.prediction_id for outcome in streams.reported} == {
        streams.prediction_id(number) for number in range(3)
    }
    assert len(streams.reported) == 3


def test_missing_records_are_named_and_their_late_answers_counted(
    streams: Streams, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(streams.business._ledger, "_missing_seconds", 0.0)
    streams.business.send(CUSTOMERS)
    streams.answer(1)
    streams.business.between()
    missing = [m for m in caplog.messages if m.startswith("no result after")]
    ids = f"{streams.prediction_id(0)} {streams.prediction_id(2)}"
    assert missing == [f"no result after {module.MISSING_SECONDS:g} s: {ids}"]
    assert "sent=3 answered=1 refused=0 waiting=0 missing=2" in caplog.messages[-1]
    streams.answer(2)
    streams.business.send([])
    streams.business.between()
    assert "sent=0 answered=1 refused=0 waiting=0 missing=1" in caplog.messages[-1]
    assert not streams.business.finish()


def test_dead_letter_is_a_refusal(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    streams.business.send(CUSTOMERS)
    for number in (0, 2):
        streams.answer(number)
    streams.refuse(1)
    streams.refuse(1)  # its second part
    assert not streams.business.finish()
    assert f"record {streams.prediction_id(1)} is refused: ['no customer']" in caplog.messages
    assert "sent=3 answered=2 refused=1 waiting=0 missing=0" in caplog.messages[-1]


def test_batch_that_is_answered_completely_is_a_success(streams: Streams) -> None:
    streams.business.send(CUSTOMERS)
    for number in range(3):
        streams.answer(number)
    assert streams.business.finish()
