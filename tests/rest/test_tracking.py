"""Tracking and registration against a real MLflow store, without a server."""

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.data import dataset
from mlstack.data.dataset import SplitRows
from mlstack.errors import ModelError, NoReference, RegistryUnavailable
from mlstack.model.card_names import CARDS, card_name
from mlstack.model.mlflow_api import BEST_RUN, connect
from mlstack.model.model_files import (
    CHECK_ROWS_FILE,
    EXTRA_FOLDER,
    MODEL_FILE,
    ONNX_FILE,
    ONNX_MANIFEST_FILE,
)
from mlstack.model.model_store import ModelStore
from mlstack.quality.reference import REFERENCE_FILE, ReferenceStore
from mlstack.quality.results import BinaryQuality
from mlstack.settings import ROOT, Settings
from model_orchestration.model_card.card import Card
from model_orchestration.model_card.publish import CARD_FILE, keep_card, publish_cards
from model_orchestration.names import (
    CHALLENGER,
    CHAMPION,
    FAILURE,
)
from model_orchestration.registration import Registration, register
from model_orchestration.search import search
from model_orchestration.tracking import SearchTracking, Winner
from model_orchestration.trial_runs import TrackingError
from model_orchestration.trials import Rows, Trial
from tests.support.contracts import CONTRACTS
from tests.support.models import contract_text, predictions
from tests.support.raw_tables import raw_table
from tests.support.tracking_server import TRIALS, run_search


@dataclass(frozen=True)
class Searched:
    """A search that has ended, in MLflow and in memory."""

    contract: Contract
    parts: SplitRows
    tracking: SearchTracking
    best: Trial
    winner: Winner


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of an empty store; making one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module", params=CONTRACTS)
def searched(
    request: pytest.FixtureRequest, store: str, tmp_path_factory: pytest.TempPathFactory
) -> Searched:
    """A search with each of the contracts."""
    contract = Contract.load(ROOT / "contracts" / f"{request.param}.yaml")
    rows = dataset.clean(raw_table(contract, rows=300), contract)
    parts = dataset.split(rows, contract)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store)
        patch.chdir(tmp_path_factory.mktemp("artifacts"))
        with _tracking(contract) as tracking:
            best, winner = run_search(tracking, contract, parts)
    return Searched(contract, parts, tracking, best, winner)


@pytest.fixture
def client(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """A client of the store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    return connect()


@pytest.fixture
def registry(client: MlflowClient, searched: Searched) -> Iterator[MlflowClient]:
    """A client of the store, in which the contract has no version yet."""
    yield client
    client.delete_registered_model(searched.contract.name)


def _tracking(contract: Contract) -> SearchTracking:
    return SearchTracking(
        contract,
        contract_text(contract),
        tags={"data_sha256": "d" * 64},
        params={"trials": TRIALS},
        name="some search",
    )


def _trials_of(client: MlflowClient, tracking: SearchTracking) -> list[Run]:
    found = client.search_runs(
        [tracking.experiment_id], f"tags.mlflow.parentRunId = '{tracking.run_id}'"
    )
    return sorted(found, key=lambda run: str(run.info.run_name))


def test_search_is_a_parent_run_with_a_run_per_trial(
    client: MlflowClient, searched: Searched
) -> None:
    """All of them are finished, and carry where the data came from."""
    tracking, winner = searched.tracking, searched.winner
    parent, trials = client.get_run(tracking.run_id), _trials_of(client, tracking)
    assert [run.info.run_name for run in trials] == ["trial 1 of 2", "trial 2 of 2"]
    assert {run.info.status for run in (parent, *trials)} == {"FINISHED"}
    assert all(run.data.tags["data_sha256"] == "d" * 64 for run in (parent, *trials))
    assert parent.data.tags[BEST_RUN] == winner.run_id
    assert winner.run_id == trials[searched.best.number - 1].info.run_id
    assert parent.data.params["trials"] == str(TRIALS)
    assert {"seconds_training", "seconds_sending", "seconds_waiting"} <= parent.data.metrics.keys()


def test_test_metrics_are_on_winner_and_parent_alone(
    client: MlflowClient, searched: Searched
) -> None:
    """No other trial has seen the test rows."""
    trials = _trials_of(client, searched.tracking)
    with_test = {run.info.run_id for run in trials if "test_auc" in run.data.metrics}
    assert with_test == {searched.winner.run_id}
    parent = client.get_run(searched.tracking.run_id)
    assert parent.data.metrics["test_auc"] == pytest.approx(searched.winner.test_metrics["auc"])


def test_trial_models_give_their_logged_metrics(
    client: MlflowClient, searched: Searched, tmp_path: Path
) -> None:
    """Every trial's model loads, and scores as it was logged."""
    validation = searched.parts.validation
    outcomes = validation[searched.contract.target.name].to_numpy()
    for run in _trials_of(client, searched.tracking):
        model = ModelStore(tmp_path / "models").load(run.info.run_id)
        scores = model.score_matrix(model.encoder.encode_frame(validation))
        assert ((scores - outcomes) ** 2).mean() == pytest.approx(run.data.metrics["mse"], rel=1e-5)


@pytest.mark.usefixtures("client")
def test_mlflow_scores_as_our_model_does(searched: Searched, tmp_path: Path) -> None:
    """Encoded rows through MLflow's XGBoost and customers through ours give the same numbers."""
    run_id, test = searched.winner.run_id, searched.parts.test
    extra = mlflow.artifacts.list_artifacts(artifact_uri=f"runs:/{run_id}/model/{EXTRA_FOLDER}")
    names = {Path(file.path).name for file in extra}
    assert {ONNX_FILE, CHECK_ROWS_FILE, ONNX_MANIFEST_FILE} <= names
    ours = ModelStore(tmp_path / "models").load(run_id)
    theirs = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    encoded = pd.DataFrame(ours.encoder.encode_frame(test), columns=list(ours.encoder.columns))
    features = test[list(ours.contract.feature_names)].astype(object)
    customers = features.where(features.notna(), None).to_dict("records")
    answers = predictions(
        ours, [{str(k): v for k, v in customer.items()} for customer in customers]
    )
    # The last bits of an exponential are XGBoost's own.
    np.testing.assert_allclose(theirs.predict(encoded), answers, rtol=1e-6)


@pytest.mark.usefixtures("client")
def test_spoilt_copy_is_fetched_again(searched: Searched, tmp_path: Path) -> None:
    """A damaged model file is replaced by MLflow's."""
    store, run_id = ModelStore(tmp_path / "models"), searched.winner.run_id
    store.load(run_id)
    spoilt = tmp_path / "models" / run_id / MODEL_FILE
    whole = spoilt.read_bytes()
    spoilt.write_bytes(whole[:100])
    store.load(run_id)
    assert spoilt.read_bytes() == whole


@pytest.mark.usefixtures("client")
def test_run_without_a_model_is_told_as_such(searched: Searched, tmp_path: Path) -> None:
    """The error says that it has none."""
    with pytest.raises(ModelError, match="has no model"):
        ModelStore(tmp_path / "models").load(searched.tracking.run_id)


@pytest.mark.usefixtures("client")
def test_failed_download_is_no_unknown_run(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may go through later."""

    def broken(**_: object) -> str:
        raise MlflowException("connection reset", error_code=RESOURCE_DOES_NOT_EXIST)

    monkeypatch.setattr("mlflow.artifacts.download_artifacts", broken)
    with pytest.raises(RegistryUnavailable):
        ModelStore(tmp_path / "models").load(searched.winner.run_id)


@pytest.mark.usefixtures("client")
def test_parent_run_carries_reference_and_plots(searched: Searched) -> None:
    """The reference has a row for each training row."""
    contract, train = searched.contract, searched.parts.train
    folder = Path(mlflow.artifacts.download_artifacts(run_id=searched.tracking.run_id))
    header, *rows = (folder / REFERENCE_FILE).read_text().splitlines()
    assert header.split(",") == [*contract.feature_names, contract.target.name, PREDICTION]
    assert len(rows) == len(train)
    assert searched.best.booster is not None
    first = searched.best.booster.inplace_predict(Rows.encode(train, contract).matrix)[0]
    assert float(rows[0].split(",")[-1]) == pytest.approx(float(first))
    for name in ("search_history", "calibration", "precision_recall", "importance"):
        assert (folder / f"plots/{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("client")
def test_reference_has_training_rows_and_chances(searched: Searched, tmp_path: Path) -> None:
    """The winner's quality is on rows that it had not seen."""
    store = _references(tmp_path)
    reference = store.load(searched.winner.run_id)
    contract, train = searched.contract, searched.parts.train.reset_index(drop=True)
    names = list(contract.feature_names)
    assert list(reference.rows.columns) == [*names, PREDICTION, TARGET]
    pd.testing.assert_frame_equal(reference.rows[names], train[names])
    assert reference.rows[TARGET].tolist() == train[contract.target.name].tolist()
    assert searched.best.booster is not None
    chances = searched.best.booster.inplace_predict(Rows.encode(train, contract).matrix)
    assert reference.rows[PREDICTION].to_numpy() == pytest.approx(chances)
    # On rows that the model had not seen.
    assert isinstance(reference.quality, BinaryQuality)
    assert reference.quality.rmse == pytest.approx(searched.best.metrics["rmse"])
    assert reference.quality.calibration_error == pytest.approx(searched.best.metrics["ece"])


def test_reference_is_scored_by_the_run_s_own_model(
    client: MlflowClient, searched: Searched, tmp_path: Path
) -> None:
    """Another trial of the search has other chances."""
    winner = searched.winner.run_id
    (other,) = (
        run.info.run_id
        for run in _trials_of(client, searched.tracking)
        if run.info.run_id != winner
    )
    store = _references(tmp_path)
    chances = store.load(other).rows[PREDICTION]
    model = ModelStore(tmp_path / "models").load(other)
    scored = model.score_matrix(model.encoder.encode_frame(searched.parts.train))
    assert chances.to_numpy() == pytest.approx(scored)
    assert not chances.equals(store.load(winner).rows[PREDICTION])


@pytest.mark.usefixtures("client")
def test_kept_reference_needs_no_mlflow(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spoilt one is fetched again."""
    run_id = searched.winner.run_id
    store = _references(tmp_path)
    rows = store.load(run_id).rows
    (kept,) = (tmp_path / "references").glob("*.csv")
    kept.write_bytes(kept.read_bytes()[:100])
    assert store.load(run_id).rows.equals(rows)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert _references(tmp_path).load(run_id).rows.equals(rows)
    kept.unlink()
    with pytest.raises(RegistryUnavailable):
        store.load(run_id)


@pytest.mark.usefixtures("client")
def test_missing_reference_is_told_from_a_failed_download(
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which of the two it is."""

    def broken(**_: object) -> str:
        raise MlflowException("no such artifact", error_code=RESOURCE_DOES_NOT_EXIST)

    store, run_id = _references(tmp_path), searched.winner.run_id
    ModelStore(tmp_path / "models").load(run_id)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", broken)
    with pytest.raises(RegistryUnavailable, match="cannot give"):
        store.load(run_id)
    monkeypatch.setattr("mlflow.artifacts.list_artifacts", lambda **_: [])
    monkeypatch.setattr(MlflowClient, "list_artifacts", lambda *_: [])
    with pytest.raises(NoReference, match="no training rows to compare with"):
        store.load(run_id)


@pytest.mark.usefixtures("client")
def test_reference_of_other_columns_is_refused(searched: Searched, tmp_path: Path) -> None:
    """The error names what it lacks."""
    run_id = searched.winner.run_id
    folder = tmp_path / "references"
    folder.mkdir()
    for content, reason in ((b"a,b\n1,2\n", "lack customer_age"), (b"\n", "not a table")):
        kept = folder / f"{run_id}-{hashlib.sha256(content).hexdigest()}.csv"
        kept.write_bytes(content)
        with pytest.raises(NoReference, match=reason):
            _references(tmp_path).load(run_id)
        kept.unlink()


def _references(folder: Path) -> ReferenceStore:
    return ReferenceStore(folder / "references", ModelStore(folder / "models"))


def test_failed_trial_is_a_failed_run_with_its_reason(
    client: MlflowClient, documented: Contract
) -> None:
    """The search goes on."""
    trial = Trial(1, 1, {"max_depth": -1}, 0.1, None, {}, "ValueError: no such depth", math.inf)
    with _tracking(documented) as tracking:
        tracking.add(trial)
        tracking.finish_trials()
    [run] = _trials_of(client, tracking)
    assert run.info.status == "FAILED"
    assert run.data.tags[FAILURE] == "ValueError: no such depth"
    assert run.data.params["max_depth"] == "-1"
    assert client.get_run(tracking.run_id).info.status == "FINISHED"


def test_trial_that_cannot_be_sent_fails_the_search(
    client: MlflowClient, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent run has failed, with the reason."""

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("the disk is full")

    monkeypatch.setattr(MlflowClient, "create_logged_model", refuse)
    tracking = _tracking(documented)
    rows = Rows.encode(dataset.clean(raw_table(documented, rows=300), documented), documented)

    def track_a_search() -> None:
        with tracking:
            search(
                *(rows, rows, documented.target),
                trials=1,
                seed=1,
                on_trial=lambda trial, _: tracking.add(trial),
            )
            tracking.finish_trials()

    with pytest.raises(TrackingError, match=r"trial 1 cannot be tracked.*the disk is full"):
        track_a_search()
    parent = client.get_run(tracking.run_id)
    assert parent.info.status == "FAILED"
    assert "the disk is full" in parent.data.tags[FAILURE]


def test_next_search_ends_runs_of_a_dead_one(client: MlflowClient, documented: Contract) -> None:
    """Other people's runs go on."""
    dead = _tracking(documented)
    dead.__enter__()
    somebody_s = client.create_run(dead.experiment_id).info.run_id
    with _tracking(documented):
        assert client.get_run(dead.run_id).info.status == "KILLED"
        assert client.get_run(somebody_s).info.status == "RUNNING"


def _register(searched: Searched, rmse: float | None = None) -> Registration:
    """Register the search's winner, with another test rmse if one is given."""
    winner = searched.winner
    if rmse is not None:
        winner = replace(winner, test_metrics={**winner.test_metrics, "rmse": rmse})
    return register(searched.contract, winner, searched.parts.test)


def _holders(client: MlflowClient, searched: Searched) -> dict[str, str]:
    aliases = client.get_registered_model(searched.contract.name).aliases
    return {alias: str(version) for alias, version in aliases.items()}


def test_first_version_is_challenger_and_champion(
    registry: MlflowClient, searched: Searched
) -> None:
    """It names its run and its test metrics."""
    done = _register(searched)
    version = registry.get_model_version_by_alias(searched.contract.name, CHAMPION)
    assert done.aliases == (CHALLENGER, CHAMPION)
    assert version.run_id == version.tags["run_id"] == searched.winner.run_id
    auc = searched.winner.test_metrics["auc"]
    assert float(version.tags["test_auc"]) == pytest.approx(auc, abs=1e-6)


def test_worse_version_does_not_become_champion(registry: MlflowClient, searched: Searched) -> None:
    """One that is as good does."""
    _register(searched)
    _register(searched)
    assert _holders(registry, searched) == {CHALLENGER: "2", CHAMPION: "2"}
    done = _register(searched, rmse=0.9)
    assert _holders(registry, searched) == {CHALLENGER: "3", CHAMPION: "2"}
    assert done.reason.startswith("worse: compared with version 2, the champion until now, on too")


@pytest.mark.usefixtures("registry")
def test_champion_of_another_contract_is_replaced(searched: Searched) -> None:
    """Even by a worse version."""
    _register(searched)
    other = Contract.parse(contract_text(searched.contract).replace("seed: 20221", "seed: 1"))
    done = _register(replace(searched, contract=other), rmse=0.9)
    assert CHAMPION in done.aliases
    assert "was trained with another contract" in done.reason


def test_card_lasts_as_long_as_its_version(
    registry: MlflowClient, searched: Searched, tmp_path: Path
) -> None:
    """MLflow has it; its page comes back from there, and goes when somebody deletes the version."""
    settings = Settings(reports_dir=tmp_path)
    name, run_id = searched.contract.name, searched.winner.run_id
    registered = register(searched.contract, searched.winner, searched.parts.test)
    keep_card(settings, registered, run_id, Card("<header><!-- nav -->Card", "It **predicts**."))
    page = tmp_path / card_name(run_id)
    for _ in range(2):
        assert publish_cards(settings) == 0
        assert 'href="model-cards.html"' in page.read_text()
        page.unlink()
    publish_cards(settings)
    listed = (tmp_path / CARDS).read_text()
    assert f'<a href="{page.name}">{name}, version {registered.version}</a>' in listed
    assert "challenger, champion" in listed
    assert re.search(r"AUC 0\.\d+, rmse 0\.\d+", listed)
    described = str(registry.get_model_version(name, registered.version).description)
    assert f"[Model card](http://127.0.0.1:8888/{page.name})" in described
    assert described.endswith(f"/runs/{run_id}/artifacts/{CARD_FILE})): It **predicts**.")
    registry.delete_model_version(name, registered.version)
    assert publish_cards(settings) == 1
    assert not page.exists()
    assert page.name not in (tmp_path / CARDS).read_text()


def test_version_without_a_card_is_listed(
    registry: MlflowClient, searched: Searched, tmp_path: Path
) -> None:
    """An earlier release has registered it: there is nothing to show."""
    register(searched.contract, searched.winner, searched.parts.test)
    assert publish_cards(Settings(reports_dir=tmp_path)) == 0
    assert 'version 1 <span class="about">(no card: ' in (tmp_path / CARDS).read_text()
    assert registry.get_model_version(searched.contract.name, "1").description is None
