"""Old searches are removed from a real MLflow server; needed runs stay and work."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from mlstack.contract import Contract
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DeploymentState
from mlstack.errors import DeploymentError, ModelError
from mlstack.model.mlflow_api import SEARCH_TAG
from mlstack.model.model_store import ModelStore
from mlstack.quality.reference import ReferenceStore
from mlstack.settings import ROOT, Settings
from operations.retention import removal
from operations.retention.removal import Removal
from operations.retention.tracking import prune_tracking
from tests.support.tracking_server import (
    OnServer,
    Searched,
    make_deployments_old,
    make_old,
    small_search,
    tracking_server,
)

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Past(OnServer):
    """The searches before the pruning; all but `young` are old."""

    forgotten: Searched
    deployed_before: Searched
    deployed: Searched
    champion: Searched
    young: Searched
    by_hand: str

    def prune(self, **changed: object) -> dict[str, Removal]:
        settings = Settings.model_validate(self.settings.model_dump() | changed)
        return {removed.what: removed for removed in prune_tracking(settings, datetime.now(UTC))}


@pytest.fixture(autouse=True)
def _reached(past: "Past", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", past.server.address)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("retention")
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    with tracking_server(folder / "mlflow") as server:
        settings = server.settings(folder / "state", keep_deployed_models=1)
        client = MlflowClient(server.address)
        names = ("forgotten", "deployed before", "deployed", "champion", "young")
        searches = [small_search(contract, name) for name in names]
        forgotten, deployed_before, deployed, champion, young = searches
        client.set_registered_model_alias(contract.name, "champion", champion.version)
        deployer = Deployer(settings, ModelStore.of(settings))
        for search in (forgotten, deployed_before, deployed):
            deployer.deploy(search.winner)
        make_deployments_old(settings.state_path)
        experiment = client.get_experiment_by_name(contract.name)
        assert experiment is not None
        by_hand = str(client.create_run(experiment.experiment_id).info.run_id)
        for search in searches[:-1]:
            make_old(client, search.runs, NOW - timedelta(days=40))
        make_old(client, (by_hand,), NOW - timedelta(days=40))
        yield Past(
            server,
            settings,
            forgotten=forgotten,
            deployed_before=deployed_before,
            deployed=deployed,
            champion=champion,
            young=young,
            by_hand=by_hand,
        )


def test_prune_during_a_deploy_touches_nothing(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused, and can be tried again."""
    monkeypatch.setattr(removal, "_PATIENCE_SECONDS", 0.1)
    deploying = Deployer(past.settings, ModelStore.of(past.settings)).state.lock()
    with deploying, pytest.raises(DeploymentError, match="in progress"):
        past.prune()
    assert past.lives(past.forgotten.winner)


def test_run_deployed_during_a_prune_stays(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decided on run by run: what was needed when it began says nothing."""
    state = DeploymentState(past.settings.state_path)
    record, winner = state.record(), past.forgotten.winner
    assert record is not None
    search_versions = MlflowClient.search_model_versions

    def deployed_meanwhile(client: MlflowClient, *arguments: Any, **named: Any) -> Any:
        state.write_record(winner, "somebody")
        return search_versions(client, *arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_model_versions", deployed_meanwhile)
        past.prune()
    try:
        assert past.lives(winner)
        assert past.lives(past.forgotten.parent)
    finally:
        state.write_record(record.run_id, record.deployed_by)
        for search in (past.forgotten, past.deployed_before, past.deployed, past.champion):
            for run_id in search.others:
                past.client.restore_run(run_id)


def test_old_runs_go_into_the_trash_first(past: Past, tmp_path: Path) -> None:
    """People can take them out again, models included."""
    before = past.server.artifact_bytes()
    removed = past.prune()
    thrown = [*past.forgotten.runs, *past.deployed.others]
    thrown += [*past.deployed_before.others, *past.champion.others]
    assert removed["MLflow: runs, into the trash"].count == len(thrown)
    assert removed["MLflow: trash, with its artifacts"].count == 0
    assert past.server.artifact_bytes() == before
    assert not any(past.lives(run_id) for run_id in thrown)
    past.client.restore_run(past.forgotten.winner)
    assert past.lives(past.forgotten.winner)
    assert ModelStore(tmp_path).load(past.forgotten.winner).run_id == past.forgotten.winner


def test_needed_runs_come_out_of_the_trash(past: Past) -> None:
    """Even when a person has deleted them."""
    needed = (past.deployed_before.winner, past.deployed.parent, past.champion.winner)
    for run_id in needed:
        past.client.delete_run(run_id)
    past.prune()
    assert all(past.lives(run_id) for run_id in needed)


def test_deleted_run_is_not_deployed(past: Past, tmp_path: Path) -> None:
    """A run in the trash cannot be loaded."""
    with pytest.raises(ModelError, match="was deleted"):
        ModelStore(tmp_path).load(past.deployed.others[0])


def test_emptied_trash_frees_its_space(past: Past) -> None:
    """Nothing of its runs is left in the database or on disk."""
    gone = [*past.forgotten.runs]
    for search in (past.deployed_before, past.deployed, past.champion):
        gone += search.others
    before, of_the_gone = past.server.artifact_bytes(), past.server.artifact_bytes(gone)
    assert of_the_gone > 0
    removed = past.prune(keep_deleted_days=0)
    for run_id in gone:
        with pytest.raises(MlflowException, match="not found"):
            past.client.get_run(run_id)
    assert removed["MLflow: trash, with its artifacts"].freed == of_the_gone
    assert past.server.artifact_bytes() == before - of_the_gone
    with sqlite3.connect(past.server.database) as database:
        for table, column in (
            ("runs", "run_uuid"),
            ("params", "run_uuid"),
            ("metrics", "run_uuid"),
        ):
            query = f"SELECT DISTINCT {column} FROM {table}"  # noqa: S608 - names of this test
            assert not {row[0] for row in database.execute(query)} & set(gone)
        models = database.execute("SELECT COUNT(*) FROM logged_models").fetchone()[0]
    young_and_needed = 2 + 3
    assert models == young_and_needed


def test_needed_runs_stay_with_their_search(past: Past) -> None:
    """Deployed, aliased and young runs, and those made by hand, stay whole."""
    for search in (past.deployed_before, past.deployed, past.champion):
        assert past.lives(search.winner)
        assert past.lives(search.parent)
    assert all(past.lives(run_id) for run_id in (*past.young.runs, past.by_hand))
    versions = past.client.search_model_versions()
    kept = {search.winner for search in (past.champion, past.young)}
    aliased_or_needed = kept | {past.deployed_before.winner, past.deployed.winner}
    assert {version.run_id for version in versions} == aliased_or_needed


def test_kept_models_and_references_can_be_fetched(past: Past, tmp_path: Path) -> None:
    """What stayed still works."""
    models = ModelStore(tmp_path / "models")
    for search in (past.deployed_before, past.deployed, past.champion, past.young):
        assert models.load(search.winner).run_id == search.winner
        assert len(ReferenceStore(tmp_path / "references", models).load(search.winner).rows)


def test_prune_again_removes_nothing(past: Past) -> None:
    """A second pruning finds nothing to remove."""
    removed = past.prune(keep_deleted_days=0)
    assert {each.count for each in removed.values()} == {0}
    assert removed["MLflow: trash, with its artifacts"].freed == 0


def test_rollback_finds_its_model_in_mlflow(past: Past, tmp_path: Path) -> None:
    """The run before is still there for a machine without a copy."""
    fresh = Deployer(past.settings, ModelStore(tmp_path / "models"))
    assert fresh.rollback() == past.deployed_before.winner


def test_runs_deleted_by_people_are_emptied_too(past: Past) -> None:
    """So is what a rollback left unneeded."""
    experiment = past.client.get_run(past.by_hand).info.experiment_id
    past.client.delete_run(past.by_hand)
    make_deployments_old(past.settings.state_path)
    past.prune(keep_deleted_days=0)
    left = past.client.search_runs([experiment], run_view_type=ViewType.ALL)
    assert past.by_hand not in {run.info.run_id for run in left}
    # What was rolled back from is needed no more.
    assert {run.data.tags[SEARCH_TAG] for run in left} == {"deployed before", "champion", "young"}
