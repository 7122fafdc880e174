"""Numbers and classes are searched, tracked, registered and read back like two classes."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.data import dataset
from mlstack.data.splitting import SplitRows
from mlstack.model.mlflow_api import connect
from mlstack.model.model_store import ModelStore
from mlstack.quality.reference import ReferenceStore
from model_orchestration.metrics import loss_name
from model_orchestration.registration import register
from model_orchestration.tracking import SearchTracking, Winner
from tests.support.target_kinds import contract_of, contract_text, raw_rows
from tests.support.tracking_server import TRIALS, run_search


@dataclass(frozen=True)
class Searched:
    """A search in a store of its own."""

    kind: str
    folder: Path
    client: MlflowClient
    parts: SplitRows
    tracking: SearchTracking
    winner: Winner


@pytest.fixture(scope="module", params=["regression", "multiclass"])
def searched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    kind, folder = request.param, tmp_path_factory.mktemp("mlflow")
    contract = contract_of(kind)
    parts = dataset.split(dataset.clean(raw_rows(kind, 1500), contract), contract)
    with pytest.MonkeyPatch.context() as patch:
        _use(folder, patch)
        tracking = SearchTracking(
            contract,
            contract_text(kind),
            tags={},
            params={"trials": TRIALS, "validation_rows": len(parts.validation)},
            name="some search",
        )
        with tracking:
            _, winner = run_search(tracking, contract, parts)
        return Searched(kind, folder, connect(), parts, tracking, winner)


@pytest.fixture(autouse=True)
def _store(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    _use(searched.folder, monkeypatch)


def _use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
    patch.chdir(folder)


def test_parent_run_has_metrics_and_plots_of_the_kind(searched: Searched) -> None:
    """The loss of each trial has the name of its metric."""
    client, run_id = searched.client, searched.tracking.run_id
    loss = loss_name(contract_of(searched.kind).target)
    metrics = client.get_run(run_id).data.metrics
    assert {loss, f"test_{loss}", f"trial_{loss}"} <= metrics.keys()
    plots = {Path(file.path).name for file in client.list_artifacts(run_id, "plots")}
    wanted = {"regression": "errors.png", "multiclass": "confusion.png"}[searched.kind]
    assert {wanted, "search_history.png", "importance.png"} <= plots


def test_winner_is_compared_with_the_champion(searched: Searched) -> None:
    """The first becomes champion; the same model again is no worse, by the metric of its kind."""
    contract, winner = contract_of(searched.kind), searched.winner
    first = register(contract, winner, searched.parts.test)
    assert (first.aliases, first.reason) == (("challenger", "champion"), "there was no champion")
    second = register(contract, winner, searched.parts.test)
    assert second.reason.startswith(f"no worse: test {loss_name(contract.target)} ")
    tags = searched.client.get_model_version(contract.name, second.version).tags
    assert f"test_{loss_name(contract.target)}" in tags


def test_reference_is_read_back(searched: Searched, tmp_path: Path) -> None:
    """It has outcomes and predictions of the kind, and the figures at training."""
    models = ModelStore(tmp_path / "models")
    reference = ReferenceStore(tmp_path / "references", models).load(searched.winner.run_id)
    contract, train = contract_of(searched.kind), searched.parts.train
    assert reference.rows[TARGET].tolist() == pytest.approx(train[contract.target.name].tolist())
    agreed = reference.rows[PREDICTION] == reference.rows[TARGET]
    assert agreed.mean() > 0.5 if searched.kind == "multiclass" else agreed.notna().all()
    assert reference.quality is not None
    assert reference.quality.figures()
