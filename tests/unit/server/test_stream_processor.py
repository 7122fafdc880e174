"""A batch is answered whole or not at all; poison is set aside; nothing is ever raised."""

import base64
import json
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlstack.contract import CategoryFeature, Contract
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.predictor import Predictor
from mlstack.errors import MAX_ERRORS, FieldError, InvalidCustomer, MlstackError
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import Origin, Outcome, Prediction
from mlstack.prediction_log.segment import SpoolError
from mlstack.streams.publishing import MAX_RECORD_BYTES, Message, Refused
from mlstack.streams.reading import Record
from mlstack.streams.stream import Stream
from mlstack.waiting import Stop, Stopped
from server.stream import processor as processor_module
from server.stream.dead_letters import PART_BYTES, dead_letters
from server.stream.metrics import StreamMetrics
from server.stream.processor import StreamProcessor
from tests.support.models import predictions, write_model

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STREAM = Stream("predictions", NOW)
SHARD = "shardId-000000000000"


class Log:
    """A prediction log in memory; refuses as often as it is told to."""

    def __init__(self, journal: list[str]) -> None:
        self.kept: list[Prediction] = []
        self.refusals = 0
        self._journal = journal

    def keep(self, predictions: Sequence[Prediction]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise SpoolError("the disk is full")
        self._journal.append("kept")
        self.kept += predictions

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        raise NotImplementedError


class Topic:
    """A stream in memory."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.published: list[Message] = []
        self.stopped = False
        self.failure: Exception | None = None
        self.refuses: Callable[[Message], object] = lambda message: message.fault
        self._name, self._journal = name, journal

    def publish(self, messages: Sequence[Message]) -> Sequence[Refused]:
        if self.failure:
            failure, self.failure = self.failure, None
            raise failure
        if self.stopped:
            raise Stopped
        if messages:
            self._journal.append(self._name)
        taken = [message for message in messages if not self.refuses(message)]
        self.published += taken
        return [Refused(message, "it said so") for message in messages if message not in taken]

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.published]


class Models:
    """Serves nothing until a predictor is set."""

    def __init__(self) -> None:
        self.predictor: Predictor | None = None
        self.reason = "no model is deployed"


class Bench:
    """A processor with everything around it in memory."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.journal: list[str] = []
        self.log = Log(self.journal)
        self.results = Topic("results", self.journal)
        self.letters = Topic("letters", self.journal)
        self.model = Model.load(write_model(folder / "model", contract, seed=0), "a" * 32)
        self.models = Models()
        self.models.predictor = Predictor(self.model, self.log)
        self.stop, self.metrics = Stop(grace=60), StreamMetrics()
        self.processor = StreamProcessor(
            models=self.models,
            publish_results=self.results.publish,
            publish_dead_letters=self.letters.publish,
            metrics=self.metrics,
            stop=self.stop,
        )

    def process(self, *bodies: bytes) -> bool:
        records = [Record(str(i), body, NOW) for i, body in enumerate(bodies, 1)]
        return self.processor.process(STREAM, SHARD, records)

    def counted(self, outcome: str) -> float | None:
        name = "mlstack_stream_records_total"
        return self.metrics.registry.get_sample_value(name, {"outcome": outcome})


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_FIRST_RETRY_SECONDS", "_LAST_RETRY_SECONDS", "_MODEL_SECONDS"):
        monkeypatch.setattr(processor_module, name, 0.01)


@pytest.fixture
def bench(tmp_path: Path, documented: Contract) -> Bench:
    return Bench(tmp_path, documented)


@pytest.fixture
def bodies(documented: Contract) -> list[bytes]:
    customers = CustomerGenerator(documented, seed=3).draw(20)
    return [json.dumps(customer).encode() for customer in customers]


def test_answer_names_chance_model_and_record(bench: Bench, bodies: list[bytes]) -> None:
    """An answer says the chance, the model, and where its record stands."""
    assert bench.process(*bodies)
    chances = predictions(bench.model, [json.loads(body) for body in bodies])
    expected = [
        {
            "churn chance": chance,
            "model_run_id": "a" * 32,
            "prediction_id": STREAM.prediction_id(SHARD, str(number)),
            "shard_id": SHARD,
            "sequence_number": str(number),
        }
        for number, chance in enumerate(chances, 1)
    ]
    assert bench.results.documents() == expected
    assert [m.key for m in bench.results.published] == [e["prediction_id"] for e in expected]
    assert [prediction.origin for prediction in bench.log.kept] == [
        Origin("kinesis", SHARD, str(number)) for number in range(1, 21)
    ]
    assert bench.letters.published == []
    assert bench.counted("answered") == 20


def test_prediction_is_kept_before_published(bench: Bench, bodies: list[bytes]) -> None:
    """Answered means kept."""
    assert bench.process(b"poison", *bodies)
    assert bench.journal == ["kept", "results", "letters"]


@pytest.mark.parametrize("place", ["first", "last", "only", "every second"])
def test_poison_becomes_dead_letter(place: str, bench: Bench, bodies: list[bytes]) -> None:
    """A record that cannot be answered is set aside; all others are answered."""
    bad = b'{"not a": "customer"}'
    batch = {
        "first": [bad, *bodies],
        "last": [*bodies, bad],
        "only": [bad],
        "every second": [body for good in bodies for body in (bad, good)],
    }[place]
    assert bench.process(*batch)
    numbers = [str(n) for n, body in enumerate(batch, 1) if body == bad]
    assert [letter["sequence_number"] for letter in bench.letters.documents()] == numbers
    good = [str(n) for n, body in enumerate(batch, 1) if body != bad]
    assert [result["sequence_number"] for result in bench.results.documents()] == good
    assert [prediction.origin.sequence_number for prediction in bench.log.kept] == good
    assert bench.counted("dead_letter") == len(numbers)


def test_dead_letter_has_errors_and_bytes(bench: Bench, documented: Contract) -> None:
    """A dead letter says what is wrong, and carries all bytes of the record."""
    customer = dict(documented.example)
    name = next(iter(customer))
    raw = json.dumps(customer | {name: "?", "surprise": 1}).encode()
    assert bench.process(raw)
    (letter,) = bench.letters.documents()
    assert base64.b64decode(letter.pop("data")) == raw
    errors = letter.pop("errors")
    assert letter == {
        "stream": "predictions",
        "shard_id": SHARD,
        "sequence_number": "1",
        "arrived_at": NOW.isoformat(),
        "reason": "invalid_customer",
        "part": 1,
        "parts": 1,
    }
    assert {(e["pointer"], e["code"]) for e in errors} == {
        (f"/{name}", "wrong_type"),
        ("/surprise", "unknown_field"),
    }
    assert all(e["detail"] for e in errors)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty_body"),
        (b"hello", "malformed_json"),
        (b"abcd", "malformed_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"null", "invalid_customer"),
        (b"[]", "invalid_customer"),
        (base64.b64encode(b"{}"), "invalid_customer"),
        (base64.b64encode(b'{"a":1,"a":2}'), "duplicate_key"),
        (base64.b64encode(base64.b64encode(b"{}")), "malformed_json"),
    ],
)
def test_dead_letter_names_fault(raw: bytes, reason: str, bench: Bench) -> None:
    """Each kind of fault has its own reason."""
    assert bench.process(raw)
    assert [letter["reason"] for letter in bench.letters.documents()] == [reason]


def test_base64_customer_is_answered(bench: Bench, bodies: list[bytes]) -> None:
    """A customer may arrive encoded in base64 once more."""
    assert bench.process(
        bodies[0], base64.b64encode(bodies[0]), base64.encodebytes(bodies[0]), b" " + bodies[0]
    )
    assert len({result["churn chance"] for result in bench.results.documents()}) == 1
    assert bench.letters.published == []


def test_plain_record_takes_short_way(
    bench: Bench, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decoder alone validates plain customers, and a whole fetch is scored in one call."""
    predictor, calls = bench.models.predictor, list[int]()
    assert predictor
    score = bench.model.score

    def counted(customers: Sequence[Any]) -> Any:
        calls.append(len(customers))
        return score(customers)

    monkeypatch.setattr(predictor, "validate", None)
    monkeypatch.setattr(bench.model, "score", counted)
    assert bench.process(*bodies)
    assert len(bench.results.published) == len(bodies)
    assert calls == [len(bodies)]
    assert bench.journal == ["kept", "results"]


def test_dead_letter_of_large_record_is_split() -> None:
    """The letters of the largest record fit into the stream."""
    data = bytes(10 * 1024 * 1024)
    error = MlstackError("x" * 2000)
    letters = list(dead_letters(STREAM.name, SHARD, Record("1" * 56, data, NOW), error))
    assert all(Message("k" * 256, letter).size <= MAX_RECORD_BYTES for letter in letters)
    parts = [base64.b64decode(json.loads(letter)["data"]) for letter in letters]
    assert b"".join(parts) == data
    assert {len(part) for part in parts[:-1]} == {PART_BYTES}


@pytest.mark.parametrize("character", ["x", '"', "\u00e9", "\U0001f600", "\x00"])
def test_reason_of_any_length_fits_into_letter(character: str) -> None:
    """A letter is never too large for the stream: the reason is shortened, the data is whole."""
    fault = FieldError(f"/{character * 64}", "unknown_category", character * 100_000)
    data = b"y" * PART_BYTES
    for error in (InvalidCustomer((fault,) * 30), MlstackError(character * 500_000)):
        (letter,) = dead_letters("s" * 128, "h" * 128, Record("1" * 128, data, NOW), error)
        assert Message("k" * 256, letter).size <= MAX_RECORD_BYTES
        document = json.loads(letter)
        assert base64.b64decode(document["data"]) == data
        assert len(document["errors"]) <= MAX_ERRORS
        assert document["errors"][0]["detail"].endswith(f"{character}...")


def test_unknown_value_of_thousands_stops_no_shard(
    bench: Bench, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large record with an unknown one of 20,000 values is set aside, the next one answered."""
    predictor = bench.models.predictor
    assert predictor
    validate = predictor.validate
    values = tuple(f"Merchant {number}" for number in range(20_000))
    wide = {
        feature.name: feature.model_copy(update={"values": values})
        if isinstance(feature, CategoryFeature)
        else feature
        for feature in bench.model.contract.features
    }
    contract = bench.model.contract.model_copy(update={"features": tuple(wide.values())})
    wider = CustomerValidator(contract)

    def validate_either(request: Any) -> Any:
        return wider.validate(request) if len(str(request)) > PART_BYTES else validate(request)

    monkeypatch.setattr(predictor, "validate", validate_either)
    bad = json.dumps({**contract.example, "marital_status": "x" * PART_BYTES}).encode()
    assert bench.process(bad, *bodies)
    assert len(bench.results.published) == len(bodies)
    letters = bench.letters.documents()
    assert b"".join(base64.b64decode(letter["data"]) for letter in letters) == bad
    assert any("(20,000 in all)" in error["detail"] for error in letters[0]["errors"])


def test_refused_result_becomes_dead_letter(bench: Bench, bodies: list[bytes]) -> None:
    """A result that Kinesis never takes stops no shard; its record is set aside with the reason."""
    bad = STREAM.prediction_id(SHARD, "3")
    bench.results.refuses = lambda message: message.key == bad
    assert bench.process(*bodies)
    assert len(bench.results.published) == len(bodies) - 1
    (letter,) = bench.letters.documents()
    assert base64.b64decode(letter["data"]) == bodies[2]
    assert (letter["sequence_number"], letter["reason"]) == ("3", "internal_error")
    assert bad in letter["errors"][0]["detail"]
    assert (bench.counted("answered"), bench.counted("dead_letter")) == (len(bodies) - 1, 1)


def test_refused_dead_letter_stops_no_shard(
    bench: Bench, bodies: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """A dead letter that Kinesis never takes is logged as lost, and the shard goes on."""
    bench.letters.refuses = lambda _: True
    assert bench.process(b"poison", *bodies)
    assert len(bench.results.published) == len(bodies)
    assert "is lost: it said so" in caplog.text


def test_records_wait_for_model(bench: Bench, bodies: list[bytes]) -> None:
    """Records wait until there is a model."""
    predictor, bench.models.predictor = bench.models.predictor, None
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(bench.process(b"poison", *bodies)))
    thread.start()
    assert answers == []
    bench.models.predictor = predictor
    thread.join(10)
    assert answers == [True]
    assert len(bench.results.published) == len(bodies)


def test_stop_ends_wait_for_model(bench: Bench, bodies: list[bytes]) -> None:
    """The stop request ends the wait for a model; nothing is done."""
    bench.models.predictor = None
    bench.stop.request()
    assert not bench.process(b"poison", *bodies)
    assert bench.journal == []


def test_one_model_answers_whole_batch(
    bench: Bench, bodies: list[bytes], tmp_path: Path, documented: Contract
) -> None:
    """A model that is swapped in meanwhile waits for the next batch."""
    other = Model.load(write_model(tmp_path / "other", documented, seed=9), "b" * 32)

    class Swapping(Models):
        def __init__(self) -> None:
            super().__init__()
            self.reads = 0

        @property
        def predictor(self) -> Predictor:
            self.reads += 1
            return Predictor(bench.model if self.reads == 1 else other, bench.log)

        @predictor.setter
        def predictor(self, _: Predictor | None) -> None: ...

    bench.processor._models = Swapping()
    assert bench.process(*bodies)
    assert {result["model_run_id"] for result in bench.results.documents()} == {"a" * 32}


def test_full_disk_is_waited_for(bench: Bench, bodies: list[bytes]) -> None:
    """Nothing is published before the predictions are kept."""
    bench.log.refusals = 3
    assert bench.process(*bodies)
    assert bench.log.refusals == 0
    assert bench.journal == ["kept", "results"]


def test_stop_while_disk_is_full(bench: Bench, bodies: list[bytes]) -> None:
    """A batch that cannot be kept until the stop request is not answered."""
    bench.log.refusals = 1_000_000
    threading.Timer(0.05, bench.stop.request).start()
    assert not bench.process(*bodies)
    assert bench.results.published == []


@pytest.mark.parametrize("topic", ["results", "letters"])
def test_unpublished_batch_is_not_answered(topic: str, bench: Bench, bodies: list[bytes]) -> None:
    """A batch is answered only when all of it is published."""
    getattr(bench, topic).stopped = True
    assert not bench.process(b"poison", *bodies)
    assert bench.counted("answered") == 0


def test_defect_is_retried_and_never_raised(bench: Bench, bodies: list[bytes]) -> None:
    """An engine might drop the batch for an exception."""
    bench.results.failure = RuntimeError("a defect")
    assert bench.process(*bodies)
    assert len(bench.results.published) == len(bodies)


def test_defect_of_one_record_stops_no_other(
    bench: Bench, bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that our own code fails on becomes a dead letter."""
    predictor = bench.models.predictor
    assert predictor
    validate = predictor.validate

    def failing(request: Any) -> Any:
        if request == {"makes it": "fail"}:
            raise RuntimeError("a defect")
        return validate(request)

    monkeypatch.setattr(predictor, "validate", failing)
    assert bench.process(b'{"makes it": "fail"}', *bodies)
    assert [letter["reason"] for letter in bench.letters.documents()] == ["internal_error"]
    assert len(bench.results.published) == len(bodies)
