"""Predictions and outcomes are stored once, and joined in either order."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import BulkWriteError, OperationFailure

from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from tests.support.mongo import MongoServer, empty_sink
from tests.support.ports import free_port

EARLY, LATE = "2026-01-01T10:00:00+00:00", "2026-01-02T10:00:00+00:00"


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with MongoServer(tmp_path_factory.mktemp("mongo") / "data") as mongo:
        yield mongo.uri


@pytest.fixture
def sink(uri: str) -> Iterator[MongoSink]:
    with empty_sink(uri) as sink:
        yield sink


def stored(uri: str) -> dict[str, dict[str, Any]]:
    with MongoClient[dict[str, Any]](uri, tz_aware=True) as client:
        return {document.pop("_id"): document for document in client[DATABASE]["data"].find()}


def prediction(
    prediction_id: str, chance: float = 0.5, model: str = "old", at: str = EARLY
) -> dict[str, Any]:
    document = {"_id": prediction_id, "prediction": chance, "model_run_id": model}
    return {**document, "created_at": at}


def outcome(prediction_id: str, target: int, at: str = EARLY) -> dict[str, Any]:
    return {"_id": prediction_id, "target": target, "target_at": at}


def test_repeated_prediction_is_stored_once(uri: str, sink: MongoSink) -> None:
    """The first one stays."""
    sink.store_predictions([prediction("a", 0.1), prediction("b", 0.2), prediction("a", 0.9)])
    sink.store_predictions([prediction("b", 0.8), prediction("c", 0.3)])
    assert {i: d["prediction"] for i, d in stored(uri).items()} == {"a": 0.1, "b": 0.2, "c": 0.3}


def test_time_is_stored_as_a_date(uri: str, sink: MongoSink) -> None:
    """Times are dates in MongoDB, not text."""
    sink.store_predictions([prediction("a")])
    assert stored(uri)["a"]["created_at"].isoformat() == EARLY


def test_outcome_after_its_prediction_is_joined(uri: str, sink: MongoSink) -> None:
    """A prediction that is there gets its outcome."""
    sink.store_predictions([prediction("a"), prediction("b")])
    sink.store_outcomes([outcome("a", 1)])
    assert stored(uri)["a"]["target"] == 1
    assert "target" not in stored(uri)["b"]


def test_outcome_before_its_prediction_is_joined_later(uri: str, sink: MongoSink) -> None:
    """An outcome waits for its prediction."""
    sink.store_outcomes([outcome("a", 1)])
    assert stored(uri) == {}
    sink.store_predictions([prediction("a")])
    assert stored(uri)["a"]["target"] == 1


def test_later_outcome_wins_in_any_order(uri: str, sink: MongoSink) -> None:
    """Of two outcomes the later one stays, whichever is written first."""
    sink.store_predictions([prediction("a"), prediction("b")])
    sink.store_outcomes([outcome("a", 1, LATE), outcome("a", 0, EARLY), outcome("b", 0, EARLY)])
    sink.store_outcomes([outcome("a", 0, EARLY), outcome("b", 1, LATE)])
    assert {i: d["target"] for i, d in stored(uri).items()} == {"a": 1, "b": 1}


def test_sink_raises_when_mongodb_is_down() -> None:
    """Storing can be tried again later."""
    sink = MongoSink(f"mongodb://127.0.0.1:{free_port()}")
    with pytest.raises(StorageUnavailable):
        sink.store_predictions([prediction("a")])
    sink.close()


def test_predictions_are_indexed_by_time(uri: str, sink: MongoSink) -> None:
    """Windows are found by an index."""
    sink.prepare()
    with MongoClient[dict[str, Any]](uri) as client:
        assert "created_at_1" in client[DATABASE]["data"].index_information()


def test_last_answer_of_another_model_is_kept(uri: str, sink: MongoSink) -> None:
    """A record whose answer was kept but not published is answered anew by the next model."""
    sink.store_predictions([prediction("a", 0.1), prediction("b", 0.2, "new", LATE)])
    sink.store_outcomes([outcome("a", 1)])
    sink.store_predictions([prediction("a", 0.9, "new", LATE), prediction("b", 0.8, "old", EARLY)])
    kept = stored(uri)
    assert {i: (d["prediction"], d["model_run_id"]) for i, d in kept.items()} == {
        "a": (0.9, "new"),
        "b": (0.2, "new"),
    }
    assert kept["a"]["target"] == 1


def test_earlier_outcome_of_another_process_changes_nothing(uri: str, sink: MongoSink) -> None:
    """Two processes that write at once keep the later outcome."""
    sink.store_predictions([prediction("a")])
    sink.store_outcomes([outcome("a", 1, LATE)])
    late_writer = MongoSink(uri)
    late_writer.store_outcomes([outcome("a", 0, EARLY)])
    late_writer.close()
    sink.store_predictions([prediction("a")])
    assert stored(uri)["a"]["target"] == 1


def test_unstorable_documents_are_named(uri: str, sink: MongoSink) -> None:
    """Those that MongoDB has no form for come back with a reason; the others are stored."""
    bad = [
        {"_id": "a", "created_at": "yesterday"},
        {"_id": "b"},
        {**prediction("c"), "x": 2**70},
        {**prediction("d"), "x": "y" * 2**24},
        {**prediction("e"), "x\0y": 1},
        {**prediction("f"), "x": "\ud800"},
        {**prediction("g"), "created_at": "2026-01-01T10:00:00"},
    ]
    refused = sink.store_predictions([prediction("good"), *bad, prediction("better")])
    assert list(stored(uri)) == ["good", "better"]
    assert list(refused) == list(range(1, len(bad) + 1))
    assert all(refused.values())
    assert sink.store_outcomes([outcome("good", 1), {"_id": "bad"}]) == {
        1: "it has no field 'target_at'"
    }
    assert stored(uri)["good"]["target"] == 1


@pytest.mark.parametrize(
    ("code", "expected"), [(22, ValueError), (13, StorageUnavailable), (91, StorageUnavailable)]
)
def test_refused_call_is_told_from_an_outage(
    sink: MongoSink, monkeypatch: pytest.MonkeyPatch, code: int, expected: type[Exception]
) -> None:
    """A document that spoils the whole call is found one by one; an outage is waited for."""

    def insert_many(*_: Any, **__: Any) -> None:
        raise OperationFailure("refused", code)

    monkeypatch.setattr("pymongo.collection.Collection.insert_many", insert_many)
    with pytest.raises(expected):
        sink.store_predictions([prediction("a")])


@pytest.mark.parametrize(("code", "refused"), [(121, {1: "MongoDB refuses it: no"}), (14031, None)])
def test_refused_document_is_told_from_a_full_disk(
    sink: MongoSink,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    refused: dict[int, str] | None,
) -> None:
    """A document that MongoDB refuses never comes back; one without room is tried again."""

    def insert_many(*_: Any, **__: Any) -> None:
        failure = {"index": 1, "code": code, "errmsg": "no"}
        raise BulkWriteError({"writeErrors": [failure], "writeConcernErrors": []})

    monkeypatch.setattr("pymongo.collection.Collection.insert_many", insert_many)
    with nullcontext() if refused else pytest.raises(StorageUnavailable):
        assert sink.store_predictions([prediction("a"), prediction("b")]) == refused


def test_unacknowledged_write_is_an_error(sink: MongoSink, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that too few servers of a cluster acknowledged is tried again."""

    def insert_many(*_: Any, **__: Any) -> None:
        concern = {"code": 64, "errmsg": "waiting for replication timed out"}
        raise BulkWriteError({"writeErrors": [], "writeConcernErrors": [concern]})

    monkeypatch.setattr("pymongo.collection.Collection.insert_many", insert_many)
    with pytest.raises(StorageUnavailable):
        sink.store_predictions([prediction("a")])
