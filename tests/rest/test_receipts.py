"""`make explain`: a kept prediction is shown, explained and scored again, as long as it is kept."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from pymongo import MongoClient
from pymongo.collection import Collection

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DEPLOYED, HistoryEntry
from mlstack.errors import MlstackError
from mlstack.model.contributions import Contributor
from mlstack.model.mlflow_api import DATA_KEY_TAG, DATA_TAG, REVISION_TAG
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.kept_predictions import KeptPredictions
from mlstack.prediction_log.mongo_database import DATABASE, PREDICTIONS
from mlstack.prediction_log.quarantine import Quarantine, Rejected
from mlstack.settings import ROOT
from operations.receipts import command
from operations.receipts.origin import find_origin
from operations.receipts.receipt import make_receipt
from operations.retention.tracking import prune_tracking
from tests.support.api_server import ApiServer
from tests.support.keeper import LogKeeper, leave
from tests.support.mongo import MongoServer
from tests.support.tracking_server import (
    OnServer,
    Searched,
    make_old,
    small_search,
    tracking_server,
)
from tests.support.waiting import wait_until

CUSTOMERS = 1000


@dataclass(frozen=True)
class Place(OnServer):
    """Two models that made predictions over HTTP, and one that made none; all are old."""

    contract: Contract
    searches: tuple[Searched, Searched, Searched]
    told: list[dict[str, Any]]
    """Answers."""
    stored: Collection[dict[str, Any]]
    """What is in MongoDB of them."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("receipts")
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn_full.yaml")
    with (
        tracking_server(folder / "mlflow") as server,
        MongoServer(folder / "mongo") as mongo,
        MongoClient[dict[str, Any]](mongo.uri, tz_aware=True) as client,
    ):
        settings = server.settings(
            folder / "state",
            mongo_uri=mongo.uri,
            contract=Path("contracts/credit_card_churn_full.yaml"),
        )
        searches = tuple(small_search(contract, name) for name in ("first", "second", "unused"))
        stored = client[DATABASE][PREDICTIONS]
        place = Place(server, settings, contract, searches, [], stored)  # type: ignore[arg-type]  # there are three
        customers = CustomerGenerator(contract, seed=5).draw(CUSTOMERS)
        for number, customer in enumerate(customers):
            if number % 3 == 0:
                customer["education_level"] = None
        state, deployer = settings.state_path, Deployer(settings, ModelStore.of(settings))
        more = {"CONTRACT": str(settings.contract), "MLFLOW_TRACKING_URI": server.address}
        deployer.deploy(searches[0].winner)
        with LogKeeper(state, MONGO_URI=mongo.uri), ApiServer(state, **more) as api:
            place.told.extend(api.post("/predict/batch", customers[: CUSTOMERS // 2]).json())
            deployer.deploy(searches[1].winner)
            place.told.extend(api.post("/predict/batch", customers[CUSTOMERS // 2 :]).json())
            one = {place.told[0]["prediction_id"]: True}
            for prediction_id, churned in one.items():
                outcome = {"prediction_id": prediction_id, contract.target.name: churned}
                assert api.post("/feedback", outcome).status == 202
            wait_until(lambda: stored.count_documents({}) == CUSTOMERS, "all are stored")
            wait_until(lambda: stored.count_documents({"target": 1}) == 1, "its outcome, too")
        # As if many models had been deployed and registered since.
        for number in range(10):
            later = f"{number:032}"
            deployer.state.add_to_history(
                HistoryEntry(
                    at=datetime.now(UTC),
                    by="test",
                    action="deploy",
                    from_run_id=searches[1].winner if number == 0 else None,
                    to_run_id=later,
                    result=DEPLOYED,
                )
            )
        deployer.state.write_record(later, "test")
        for alias in place.client.get_registered_model(contract.name).aliases:
            place.client.delete_registered_model_alias(contract.name, alias)
        for search in searches:
            make_old(place.client, search.runs, datetime.now(UTC) - timedelta(days=40))
        yield place


@pytest.fixture(autouse=True)
def _reached(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.server.address)
    for name in ("state_dir", "mongo_uri", "contract"):
        monkeypatch.setenv(name.upper(), str(getattr(place.settings, name)))


def shown(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    prediction_id: str = "",
    key: str = "",
) -> tuple[int, str]:
    """Run the command; return its exit code and what it prints."""
    monkeypatch.setattr("sys.argv", ["explain", prediction_id, key])
    code = command.main()
    return code, capsys.readouterr().out


def spooled(place: Place, **changed: str) -> dict[str, Any]:
    """Make a prediction as a server spools it of one that is stored."""
    document = next(place.stored.find({"target": {"$exists": False}})) | changed
    return document | {"created_at": document["created_at"].isoformat()}


def test_models_of_kept_predictions_are_not_pruned(place: Place) -> None:
    """They and their searches stay, however old; a model that made none goes."""
    winners = {search.winner for search in place.searches[:2]}
    assert {answer["model_run_id"] for answer in place.told} == winners
    settings = place.settings.model_copy(update={"keep_deleted_days": 0})
    prune_tracking(settings, datetime.now(UTC))
    for search in place.searches[:2]:
        assert place.lives(search.winner)
        assert place.lives(search.parent)
    with pytest.raises(MlflowException, match="not found"):
        place.client.get_run(place.searches[2].winner)


def test_thousand_receipts_are_equal_bit_for_bit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every prediction that two models answered, half a thousand each."""
    kept, store = KeptPredictions(place.settings), ModelStore.of(place.settings)
    # Loading a model for each receipt would take minutes.
    monkeypatch.setattr(store, "load", cache(store.load))
    monkeypatch.setattr("operations.receipts.receipt.Contributor", cache(Contributor))
    monkeypatch.setattr("operations.receipts.receipt.find_origin", cache(find_origin))
    random.Random(1).shuffle(place.told)
    runs = set()
    for answer in place.told:
        found = kept.by_id(answer["prediction_id"])
        assert found is not None
        receipt = make_receipt(found, store)
        assert receipt.difference == ""
        assert receipt.again is not None
        assert receipt.explanation is not None
        assert receipt.again.prediction == answer[place.contract.answer]
        why = receipt.explanation
        total = why.base + sum(why.contributions.values())
        assert total == pytest.approx(why.margin, abs=1e-5)
        runs.add(answer["model_run_id"])
    assert len(runs) == 2


def test_receipt_shows_where_a_prediction_comes_from(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Customer, contributions, outcome, model, version, table and code."""
    (document,) = place.stored.find({"target": 1})
    run_id = document["model_run_id"]
    tags = {DATA_TAG: "d" * 64, DATA_KEY_TAG: "tables/d.csv", REVISION_TAG: "e" * 40}
    for name, value in tags.items():
        place.client.set_tag(run_id, name, value)
    code, text = shown(monkeypatch, capsys, document["_id"])
    assert code == 0
    assert "scored again: equal, bit for bit" in text
    for part in (document["_id"], run_id, repr(document["prediction"]), *tags.values()):
        assert part in text
    assert f"version         {place.contract.name} 1: " in text
    assert f"outcome         {place.contract.target.name}: yes, reported " in text
    assert "kept            in MongoDB" in text
    for feature in place.contract.features:
        assert feature.meaning in text
    assert "log-odds" in text


def test_prediction_in_the_spool_is_said_to_be_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is answered and proved, but not in MongoDB yet, which may be down."""
    document = spooled(place, _id="8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11")
    path = leave(place.settings.spool_path, ("prediction", json.dumps(document).encode()))
    try:
        code, text = shown(monkeypatch, capsys, document["_id"])
        monkeypatch.setenv("MONGO_URI", "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300")
        without_mongo = shown(monkeypatch, capsys, document["_id"])
    finally:
        path.unlink()
    assert code == 0
    assert "in this machine's spool: it was answered, and the log keeper moves it" in text
    assert without_mongo == (code, text)


def test_prediction_in_quarantine_is_said_to_be_there(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = spooled(place, _id="8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c12", model_run_id="c" * 32)
    quarantine = Quarantine(place.settings.quarantine_path)
    entry = Entry(1, "prediction", json.dumps(document).encode(), 0.0)
    quarantine.add([Rejected(entry, "too odd")], "api")
    code, text = shown(monkeypatch, capsys, document["_id"])
    assert code == 1
    assert "in quarantine, because MongoDB cannot store it: too odd" in text
    assert f"its model cannot be loaded: MLflow has no run {'c' * 32}" in text
    assert document["card_category"] in text


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prediction": 0.25}, "prediction, customer or model were changed"),
        ({"customer_age": 200}, "does not fit the contract, so it was changed"),
        ({"contract": {"name": "x", "hash": "y"}}, "contract is not that of the model"),
    ],
)
def test_changed_prediction_is_not_equal_and_says_why(
    place: Place,
    change: dict[str, Any],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever changes what is kept is found out."""
    stored = place.stored
    before = next(stored.find())
    stored.update_one({"_id": before["_id"]}, {"$set": change})
    try:
        code, text = shown(monkeypatch, capsys, before["_id"])
    finally:
        stored.replace_one({"_id": before["_id"]}, before)
    assert code == 1
    assert "NOT EQUAL" in text
    assert reason in text


def test_last_bits_of_an_earlier_release_are_told_apart(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = place.stored
    before = next(stored.find())
    other = before["prediction"] * (1 + 2**-23)
    stored.update_one({"_id": before["_id"]}, {"$set": {"prediction": other}})
    code, text = shown(monkeypatch, capsys, before["_id"])
    stored.replace_one({"_id": before["_id"]}, before)
    assert code == 1
    assert "only the last bits differ" in text
    assert repr(before["prediction"]) in text


def test_unknown_prediction_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """So is a command that names none, or a key where the contract has none."""
    with pytest.raises(MlstackError, match=r"no prediction with the id 'x' in MongoDB, the spool"):
        shown(monkeypatch, capsys, "x")
    with pytest.raises(MlstackError, match="name one: make explain ID="):
        shown(monkeypatch, capsys)
    with pytest.raises(MlstackError, match="names no key"):
        shown(monkeypatch, capsys, "", "K-1")
