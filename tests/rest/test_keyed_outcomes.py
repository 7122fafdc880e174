"""Outcomes by key count for the latest prediction before them, whatever arrives first."""

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pymongo import MongoClient

from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.prediction_log.mongo_sink import MongoSink
from tests.support.mongo import MongoServer, empty_sink

START = datetime(2026, 1, 1, tzinfo=UTC)
Document = dict[str, Any]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with MongoServer(tmp_path_factory.mktemp("mongo") / "data") as mongo:
        yield mongo.uri


@pytest.fixture
def sink(uri: str) -> Iterator[MongoSink]:
    with empty_sink(uri) as sink:
        yield sink


def at(minute: float) -> str:
    return (START + timedelta(minutes=minute)).isoformat()


def prediction(name: str, minute: float, key: str = "k", contract: str = "c") -> Document:
    more = {"contract": {"name": contract, "hash": "h"}, "_more": {"key": key}}
    return {"_id": name, "prediction": 0.5, "model_run_id": "m", "created_at": at(minute), **more}


def by_key(name: str, minute: float, target: int, key: str = "k", contract: str = "c") -> Document:
    more = {"contract": {"name": contract}, "_more": {"key": key}}
    return {"_id": name, "target": target, "target_at": at(minute), **more}


def targets(uri: str) -> dict[str, int | None]:
    with MongoClient[Document](uri) as client:
        found = client[DATABASE]["data"].find()
        return {document["_id"]: document.get("target") for document in found}


def test_outcome_counts_for_the_latest_prediction_before(uri: str, sink: MongoSink) -> None:
    """Neither an earlier nor a later one of the customer gets it, nor another customer's."""
    sink.store_predictions([prediction("a", 1), prediction("b", 2), prediction("c", 4)])
    others = [prediction("d", 2.5, key="l"), prediction("e", 2.5, contract="x")]
    sink.store_predictions(others)
    sink.store_outcomes([by_key("o", 3, 1)])
    assert targets(uri) == {"a": None, "b": 1, "c": None, "d": None, "e": None}


def test_outcome_waits_for_its_prediction(uri: str, sink: MongoSink) -> None:
    """It may be stored first; a prediction made after it does not get it."""
    sink.store_outcomes([by_key("o", 3, 0)])
    sink.store_predictions([prediction("late", 4)])
    assert targets(uri) == {"late": None}
    sink.store_predictions([prediction("a", 1)])
    sink.store_predictions([prediction("a", 1)])
    assert targets(uri) == {"late": None, "a": 0}


def test_outcome_moves_to_a_prediction_that_arrives_later(uri: str, sink: MongoSink) -> None:
    """The one that had it gets back the outcome that is its own, by key or by id."""
    sink.store_predictions([prediction("a", 1), prediction("z", 0)])
    sink.store_outcomes([by_key("early", 2, 0), {"_id": "z", "target": 1, "target_at": at(0.5)}])
    sink.store_outcomes([by_key("o", 5, 1)])
    assert targets(uri) == {"a": 1, "z": 1}
    sink.store_predictions([prediction("b", 4)])
    assert targets(uri) == {"a": 0, "z": 1, "b": 1}


def test_later_outcome_by_id_or_by_key_wins(uri: str, sink: MongoSink) -> None:
    sink.store_predictions([prediction("a", 1)])
    sink.store_outcomes([{"_id": "a", "target": 1, "target_at": at(3)}, by_key("o", 2, 0)])
    assert targets(uri) == {"a": 1}
    sink.store_outcomes([by_key("p", 4, 0)])
    assert targets(uri) == {"a": 0}
    sink.store_outcomes([{"_id": "a", "target": 1, "target_at": at(3.5)}])
    assert targets(uri) == {"a": 0}


def test_stored_again_it_changes_nothing(uri: str, sink: MongoSink) -> None:
    """A keeper that ends between storing and removing stores all of it again."""
    outcome = by_key("o", 3, 1)
    for _ in range(2):
        sink.store_predictions([prediction("a", 1)])
        sink.store_outcomes([outcome])
    sink.store_predictions([prediction("b", 4)])
    sink.store_outcomes([outcome])
    assert targets(uri) == {"a": 1, "b": None}


def test_any_order_of_arrival_gives_the_same(uri: str, sink: MongoSink) -> None:
    """Predictions and outcomes of three customers, in random batches, each stored once or twice."""
    for seed in range(4):
        chance = random.Random(seed)
        keys = [f"{seed}-{n}" for n in range(3)]
        minutes = chance.sample(range(1000), 40)
        made = [prediction(f"{seed}-p{m}", m, chance.choice(keys)) for m in minutes[:20]]
        known = [
            by_key(f"{seed}-o{m}", m, chance.randrange(2), chance.choice(keys))
            for m in minutes[20:35]
        ]
        known += [
            {"_id": chance.choice(made)["_id"], "target": chance.randrange(2), "target_at": at(m)}
            for m in minutes[35:]
        ]
        arriving = [("p", each) for each in made] + [("o", each) for each in known]
        arriving += chance.sample(arriving, 10)
        chance.shuffle(arriving)
        while arriving:
            count = chance.randrange(1, 8)
            batch, arriving = arriving[:count], arriving[count:]
            sink.store_outcomes([each for kind, each in batch if kind == "o"])
            sink.store_predictions([each for kind, each in batch if kind == "p"])
        found = {name: t for name, t in targets(uri).items() if name.startswith(f"{seed}-")}
        assert found == _expected(made, known), seed


def _expected(made: Sequence[Document], known: Sequence[Document]) -> dict[str, int | None]:
    """Say what counts for each prediction, from all of them at once."""
    counts: dict[str, tuple[str, int]] = {}
    for outcome in known:
        name = outcome["_id"]
        if "_more" in outcome:
            before = [
                p
                for p in made
                if p["_more"] == outcome["_more"] and p["created_at"] <= outcome["target_at"]
            ]
            if not before:
                continue
            name = max(before, key=lambda p: p["created_at"])["_id"]
        said = (outcome["target_at"], outcome["target"])
        counts[name] = max(said, counts.get(name, said))
    return {p["_id"]: counts[p["_id"]][1] if p["_id"] in counts else None for p in made}
