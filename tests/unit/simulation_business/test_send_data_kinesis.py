"""The stream simulator knows of each record whether it was answered, refused or is missing."""

import json
from collections.abc import Sequence

import pytest

from mlstack.contract.customer_schema import Customer
from mlstack.prediction_log.prediction import Outcome
from mlstack.waiting import Stop
from simulation_business import send_data_kinesis as module
from simulation_business.outcomes import Outcomes
from simulation_business.record_sender import RecordSender
from simulation_business.send_data_kinesis import StreamSimulator
from simulation_business.stream_reader import StreamReader
from tests.support.customers import contract_named
from tests.support.kinesis_fake import FakeKinesis

CUSTOMERS: list[Customer] = [{"number": number} for number in range(3)]


CONTRACT = contract_named("credit_card_churn")


class Streams:
    """A simulator on streams in memory, and whatever answers it."""

    def __init__(self) -> None:
        stop = Stop()
        self.predictions, self.results, self.letters = (FakeKinesis("a") for _ in range(3))
        self.sender = RecordSender(self.predictions, "predictions", stop, 0)  # type: ignore[arg-type] # a fake
        self.reported: list[Outcome] = []
        self.simulator = StreamSimulator(
            sender=self.sender,
            results=StreamReader(self.results, "results", stop),  # type: ignore[arg-type] # a fake
            dead_letters=StreamReader(self.letters, "letters", stop),  # type: ignore[arg-type] # a fake
            contract=CONTRACT,
            outcomes=Outcomes(
                CONTRACT.target, self.report, lambda _: None, share=1, delay=0, seed=1
            ),
            stop=stop,
        )

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        self.reported += outcomes
        return True

    def prediction_id(self, number: int) -> str:
        prediction_id = self.sender.prediction_id("a", str(number + 1))
        assert prediction_id is not None
        return prediction_id

    def answer(self, number: int) -> None:
        result = {CONTRACT.answer: 0.5, "prediction_id": self.prediction_id(number)}
        self.results.shards["a"].records.append(json.dumps(result).encode())

    def refuse(self, number: int) -> None:
        letter = {"shard_id": "a", "sequence_number": str(number + 1), "errors": ["no customer"]}
        self.letters.shards["a"].records.append(json.dumps(letter).encode())


@pytest.fixture
def streams() -> Streams:
    return Streams()


def test_answered_batch_is_logged(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    """A batch has one line in the log, and each answer one outcome."""
    caplog.set_level("INFO")
    streams.simulator.send(CUSTOMERS)
    for number in range(3):
        streams.answer(number)
    streams.answer(0)  # at-least-once
    streams.simulator.between()
    streams.simulator.between()
    (line,) = [m for m in caplog.messages if m.startswith("batch ")]
    assert "sent=3 answered=3 refused=0 waiting=0 missing=0 prediction_mean=0.500" in line
    assert {outcome.prediction_id for outcome in streams.reported} == {
        streams.prediction_id(number) for number in range(3)
    }
    assert len(streams.reported) == 3


def test_missing_records_are_named(
    streams: Streams, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Records without an answer are named once; their late answers still count."""
    caplog.set_level("INFO")
    monkeypatch.setattr(streams.simulator._ledger, "_missing_seconds", 0.0)
    streams.simulator.send(CUSTOMERS)
    streams.answer(1)
    streams.simulator.between()
    missing = [m for m in caplog.messages if m.startswith("no result after")]
    ids = f"{streams.prediction_id(0)} {streams.prediction_id(2)}"
    assert missing == [f"no result after {module.MISSING_SECONDS:g} s: {ids}"]
    assert "sent=3 answered=1 refused=0 waiting=0 missing=2" in caplog.messages[-1]
    streams.answer(2)
    streams.simulator.send([])
    streams.simulator.between()
    assert "sent=0 answered=1 refused=0 waiting=0 missing=1" in caplog.messages[-1]
    assert not streams.simulator.finish()


def test_dead_letter_is_a_refusal(streams: Streams, caplog: pytest.LogCaptureFixture) -> None:
    """A record with a dead letter counts as refused, once."""
    caplog.set_level("INFO")
    streams.simulator.send(CUSTOMERS)
    for number in (0, 2):
        streams.answer(number)
    streams.refuse(1)
    streams.refuse(1)  # its second part
    assert not streams.simulator.finish()
    assert f"record {streams.prediction_id(1)} was rejected: ['no customer']" in caplog.messages
    assert "sent=3 answered=2 refused=1 waiting=0 missing=0" in caplog.messages[-1]


def test_fully_answered_batch_succeeds(streams: Streams) -> None:
    """The run succeeds when every record is answered."""
    streams.simulator.send(CUSTOMERS)
    for number in range(3):
        streams.answer(number)
    assert streams.simulator.finish()
