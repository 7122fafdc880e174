"""Whatever people do in MLflow's own UI between two commands, the commands go on or say how."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from prefect.client.schemas.objects import FlowRun

from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.deployment.deployer import Deployer
from mlstack.errors import ModelError
from mlstack.flows.run import RunFailed
from mlstack.model.mlflow_api import PARENT_TAG
from mlstack.model.model_store import ModelStore
from mlstack.quality.reference import ReferenceStore
from mlstack.settings import ROOT
from model_orchestration.names import CHAMPION, FLOW_RUN
from model_orchestration.registration import Registration, register
from model_orchestration.schedule import show_winner
from model_orchestration.tracking import SearchTracking, Winner
from model_orchestration.trial_runs import TrackingError
from model_orchestration.trials import Trial
from operations.retention.tracking import prune_tracking
from tests.support.models import contract_text
from tests.support.raw_tables import raw_table
from tests.support.tracking_server import (
    OnServer,
    Searched,
    run_search,
    small_search,
    tracking_server,
)


@dataclass(frozen=True)
class Place(OnServer):
    """An MLflow server with two searches; `deployed` is deployed."""

    contract: Contract
    deployed: Searched
    other: Searched

    @property
    def experiment(self) -> str:
        found = self.client.get_experiment_by_name(self.contract.name)
        assert found is not None
        return str(found.experiment_id)

    def prune(self, keep_deleted_days: float = 0) -> None:
        settings = self.settings.model_copy(update={"keep_deleted_days": keep_deleted_days})
        prune_tracking(settings, datetime.now(UTC))

    def is_whole(self, search: Searched, scratch: Path) -> bool:
        """Whether a machine without copies can serve and monitor a search's winner."""
        models = ModelStore(scratch / "models")
        reference = ReferenceStore(scratch / "references", models).load(search.winner)
        return bool(len(reference.rows)) and self.lives(search.winner) and self.lives(search.parent)

    def model_id(self, run_id: str) -> str:
        outputs = self.client.get_run(run_id).outputs
        assert outputs is not None
        return str(outputs.model_outputs[0].model_id)

    def register_again(self) -> Registration:
        """Register the winner of `other`, as the end of a search does."""
        parts = dataset.split(
            dataset.clean(raw_table(self.contract, rows=200), self.contract), self.contract
        )
        winner = Winner(
            *(self.other.winner, self.model_id(self.other.winner)),
            {"rmse": 0.9, "auc": 0.5},
            np.zeros(len(parts.test), np.float32),
        )
        return register(self.contract, winner, parts.test)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("deletions")
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    with tracking_server(folder / "mlflow") as server:
        settings = server.settings(folder / "state")
        deployed, other = (small_search(contract, name) for name in ("deployed", "other"))
        Deployer(settings, ModelStore.of(settings)).deploy(deployed.winner)
        yield Place(server, settings, contract, deployed, other)


@pytest.fixture(autouse=True)
def _reached(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.server.address)


def test_run_of_a_deleted_experiment_says_how_to_go_on(place: Place, tmp_path: Path) -> None:
    """A machine without a copy names the experiment and the commands that restore it."""
    place.client.delete_experiment(place.experiment)
    with pytest.raises(ModelError, match=r"deleted with its experiment .*: make train restores"):
        ModelStore(tmp_path).load(place.other.winner)
    place.client.restore_experiment(place.experiment)


def test_deployed_run_survives_everything_deleted(place: Place, tmp_path: Path) -> None:
    """Experiment, run and model are restored; what is not needed stays deleted."""
    model = place.model_id(place.deployed.winner)
    aliased = small_search(place.contract, "aliased")
    unneeded = small_search(place.contract, "unneeded")
    place.client.set_registered_model_alias(place.contract.name, CHAMPION, aliased.version)
    place.client.set_registered_model_alias(place.contract.name, "challenger", place.other.version)
    place.client.delete_logged_model(model)
    place.client.delete_run(place.deployed.winner)
    place.client.delete_experiment(place.experiment)
    place.prune(keep_deleted_days=7)
    assert place.lives(place.deployed.winner)
    assert not any(place.lives(run_id) for run_id in unneeded.runs)
    place.client.delete_experiment(place.experiment)
    place.prune()
    for number, search in enumerate((place.deployed, place.other, aliased)):
        assert place.is_whole(search, tmp_path / str(number))
    for run_id in unneeded.runs:
        with pytest.raises(MlflowException, match="not found"):
            place.client.get_run(run_id)


def test_training_restores_a_deleted_experiment(place: Place) -> None:
    """A search goes on in it, and says that it was restored."""
    place.client.delete_experiment(place.experiment)
    tracking = SearchTracking(
        place.contract, contract_text(place.contract), tags={}, params={}, name="after"
    )
    with tracking:
        assert tracking.restored
    assert place.lives(place.deployed.winner)
    with tracking:
        assert not tracking.restored


def test_deletion_during_a_search_is_a_sentence(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search ends with what happened and the way out, without MLflow's own words."""
    parts = dataset.split(
        dataset.clean(raw_table(place.contract, rows=200), place.contract), place.contract
    )
    tracking = SearchTracking(
        place.contract, contract_text(place.contract), tags={}, params={}, name="interrupted"
    )
    add = tracking.add

    def delete_first(trial: Trial) -> None:
        if trial.number == 1:
            place.client.delete_experiment(tracking.experiment_id)
        add(trial)

    monkeypatch.setattr(tracking, "add", delete_first)
    with pytest.raises(TrackingError) as caught, tracking:
        run_search(tracking, place.contract, parts)
    assert "somebody has deleted the experiment" in str(caught.value)
    assert "make train" in str(caught.value)
    assert "INVALID_PARAMETER_VALUE" not in str(caught.value)
    place.client.restore_experiment(tracking.experiment_id)


def test_renamed_experiment_keeps_its_needed_runs(place: Place) -> None:
    """The next search has a new experiment; pruning protects runs in both."""
    old = place.experiment
    place.client.rename_experiment(old, "renamed by hand")
    with SearchTracking(
        place.contract, contract_text(place.contract), tags={}, params={}, name="renamed"
    ) as tracking:
        assert tracking.experiment_id != old
    place.client.delete_experiment(old)
    place.prune()
    assert place.lives(place.deployed.winner)
    place.client.delete_experiment(tracking.experiment_id)
    place.prune()
    place.client.rename_experiment(old, place.contract.name)


@pytest.mark.parametrize("source", ["models:/", "s3://bucket/model"])
def test_champion_without_a_run_is_replaced(place: Place, source: str) -> None:
    """A version that was registered by hand neither stops training nor pruning."""
    name, model_id = place.contract.name, None
    if source == "models:/":
        model_id = place.client.create_logged_model(place.experiment, name="model").model_id
        source += model_id
    version = place.client.create_model_version(name, source=source, model_id=model_id)
    assert not version.run_id
    place.client.set_registered_model_alias(name, CHAMPION, version.version)
    place.prune(keep_deleted_days=7)
    registered = place.register_again()
    assert CHAMPION in registered.aliases
    assert "was registered without a run" in registered.reason


def test_champion_of_foreign_model_is_replaced(place: Place) -> None:
    """A run that is not of the training flow cannot be compared, which the reason says."""
    name = place.contract.name
    run = place.client.create_run(place.experiment).info.run_id
    model = place.client.create_logged_model(place.experiment, name="other", source_run_id=run)
    place.client.set_terminated(run)
    version = place.client.create_model_version(
        name, source=f"models:/{model.model_id}", model_id=model.model_id
    )
    assert version.run_id == run
    place.client.set_registered_model_alias(name, CHAMPION, version.version)
    registered = place.register_again()
    assert CHAMPION in registered.aliases
    assert "can no longer be loaded" in registered.reason
    place.prune(keep_deleted_days=7)
    assert place.lives(place.deployed.winner)


def test_deleted_registered_model_is_made_again(place: Place) -> None:
    """The next winner is its first version and the champion."""
    place.client.delete_registered_model(place.contract.name)
    place.prune(keep_deleted_days=7)
    registered = place.register_again()
    assert registered.version == "1"
    assert registered.reason == "there was no champion"


@pytest.mark.parametrize("tag", ["foo bar/../x", "f" * 32, None])
def test_edited_parent_tag_loses_no_search(place: Place, tmp_path: Path, tag: str | None) -> None:
    """A winner is found by the tag of its search, so its training rows stay and are found."""
    run = place.deployed.winner
    if tag is None:
        place.client.delete_tag(run, PARENT_TAG)
    else:
        place.client.set_tag(run, PARENT_TAG, tag)
    place.client.delete_run(place.deployed.parent)
    place.prune()
    assert place.is_whole(place.deployed, tmp_path)
    place.client.set_tag(run, PARENT_TAG, place.deployed.parent)


def test_deleted_winner_is_reported_after_training(place: Place) -> None:
    """`make train` says what was deleted before it could print the result."""
    flow_run = "9" * 8
    with SearchTracking(
        place.contract,
        contract_text(place.contract),
        tags={},
        params={FLOW_RUN: flow_run},
        name="told",
    ):
        pass
    run = SimpleNamespace(
        id=flow_run,
        name="some-run",
        parameters={"contract": f"contracts/{place.contract.name}.yaml"},
    )
    with pytest.raises(RunFailed, match="somebody has deleted its winner"):
        show_winner(cast("FlowRun", run))
