"""Predictions are read back from MongoDB as tables."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.prediction_log import prediction_store
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.prediction_store import PredictionStore
from tests.support.customers import contract_named
from tests.support.mongo import MongoServer

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 20


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn_full")


@pytest.fixture(scope="module")
def customers(contract: Contract) -> list[Customer]:
    drawn = CustomerGenerator(contract, seed=1).draw(ROWS)
    assert any(None in customer.values() for customer in drawn)
    return drawn


@pytest.fixture(scope="module")
def uri(
    contract: Contract, customers: list[Customer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A prediction a minute, every other one with an outcome, and some of other contracts."""
    with MongoServer(tmp_path_factory.mktemp("mongo") / "data") as mongo:
        sink = MongoSink(mongo.uri)
        sink.prepare()
        documents = [_document(contract, i, customer) for i, customer in enumerate(customers)]
        # They are not stored in the order in which they were made.
        sink.store_predictions(documents[::-1])
        others = [{"name": "other", "hash": contract.digest}, {"name": contract.name, "hash": "0"}]
        sink.store_predictions(
            [
                {**_document(contract, 100 + i, customers[0]), "contract": label}
                for i, label in enumerate(others)
            ]
        )
        sink.store_predictions([{**_document(contract, 200, customers[0]), "source": "batch"}])
        sink.store_outcomes(
            [
                {"_id": f"id-{i}", "target": i % 4 // 2, "target_at": START.isoformat()}
                for i in range(0, ROWS, 2)
            ]
        )
        sink.close()
        yield mongo.uri


@pytest.fixture
def store(uri: str, contract: Contract) -> Iterator[PredictionStore]:
    store = PredictionStore(uri, contract)
    yield store
    store.close()


def _document(contract: Contract, number: int, customer: Customer) -> dict[str, Any]:
    return {
        "_id": f"id-{number}",
        **customer,
        "prediction": number / 1000,
        "model_run_id": "a" * 32,
        "contract": {"name": contract.name, "hash": contract.digest},
        "source": "kinesis" if number % 3 == 0 else "api",
        "created_at": (START + timedelta(minutes=number)).isoformat(),
    }


def test_newest_predictions_come_oldest_first(store: PredictionStore) -> None:
    """The newest ones are read, in the order in which they were made."""
    found = store.newest(5)
    assert found["prediction_id"].tolist() == [f"id-{i}" for i in range(15, 20)]


def test_scored_tables_count_only_if_asked_for(uri: str, contract: Contract) -> None:
    with closing(PredictionStore(uri, contract, sources=("batch",))) as store:
        assert store.newest(5)["prediction_id"].tolist() == ["id-200"]


def test_window_includes_its_start_and_not_its_end(store: PredictionStore) -> None:
    """Windows that follow each other share no prediction."""
    start, end = START + timedelta(minutes=3), START + timedelta(minutes=6)
    found = store.between(start, end)
    assert found["prediction_id"].tolist() == ["id-3", "id-4", "id-5"]


def test_sample_of_a_small_window_is_all_of_it(store: PredictionStore) -> None:
    start, end = START + timedelta(minutes=3), START + timedelta(minutes=6)
    found = store.sample(start, end, most=3)
    assert found.rows["prediction_id"].tolist() == ["id-3", "id-4", "id-5"]
    assert (found.total, found.share_error) == (3, 0)


def test_sample_is_drawn_from_the_whole_window(
    store: PredictionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same one again, from all servers, oldest first; others are estimated only."""
    monkeypatch.setattr(prediction_store, "_PART_ROWS", 1)
    end = START + timedelta(minutes=ROWS)
    found = store.sample(START, end, most=8)
    assert 8 <= len(found.rows) < ROWS
    assert ROWS / 2 < found.total < ROWS * 2
    assert 0 < found.share_error <= 1
    pd.testing.assert_frame_equal(store.sample(START, end, most=8).rows, found.rows)
    everything = store.between(START, end)
    chosen = everything[everything["prediction_id"].isin(found.rows["prediction_id"])]
    pd.testing.assert_frame_equal(chosen.reset_index(drop=True), found.rows)
    assert found.rows["created_at"].min() < START + timedelta(minutes=ROWS / 2)


def test_sample_of_one_moment_is_limited(store: PredictionStore) -> None:
    """It says how many there are, and that nothing is known of the others."""
    found = store.sample(START, START + timedelta(minutes=ROWS), most=3)
    assert 3 <= len(found.rows) <= 6
    assert (found.total, found.share_error) == (ROWS, 1.0)


def test_table_has_features_prediction_and_outcome(
    store: PredictionStore, contract: Contract, customers: list[Customer]
) -> None:
    """Predictions come back as the rows that they were, with what was predicted."""
    found = store.newest(1000)
    assert len(found) == ROWS
    pd.testing.assert_frame_equal(
        found[list(contract.feature_names)], customer_table(customers, contract)
    )
    assert found["prediction"].tolist() == [i / 1000 for i in range(ROWS)]
    assert found["target"].dropna().tolist() == [i % 4 // 2 for i in range(0, ROWS, 2)]
    assert found["target"].isna().sum() == ROWS / 2
    assert set(found["model_run_id"]) == {"a" * 32}
    assert found["created_at"][1] == START + timedelta(minutes=1)


def test_empty_window_has_the_same_columns(store: PredictionStore) -> None:
    """A window without predictions is a table without rows."""
    empty = store.between(START - timedelta(days=2), START - timedelta(days=1))
    assert len(empty) == 0
    assert empty.columns.tolist() == store.newest(1).columns.tolist()


def test_outcomes_are_those_that_are_known(store: PredictionStore) -> None:
    """Unknown ids and predictions without an outcome are left out."""
    assert store.outcomes(["id-0", "id-1", "id-2", "unknown"]) == {"id-0": 0, "id-2": 1}


def test_outcomes_of_many_ids_are_all_found(store: PredictionStore) -> None:
    """The ids are sent in several queries."""
    unknown = [f"unknown-{number}" for number in range(250)]
    assert store.outcomes(["id-0", *unknown, "id-2"]) == {"id-0": 0, "id-2": 1}


def test_prediction_store_raises_when_mongodb_hangs(documented: Contract, tmp_path: Path) -> None:
    """A MongoDB that takes connections but answers nothing ends a read after its own time."""
    with (
        MongoServer(tmp_path / "mongo") as mongo,
        closing(PredictionStore(mongo.uri, documented, seconds=1.0)) as store,
    ):
        assert len(store.newest(1)) == 0
        with mongo.stopped(), pytest.raises(StorageUnavailable):
            store.newest(1)
