"""A real MLflow tracking server on a free port, and small searches in it."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import requests
from matplotlib.figure import Figure
from mlflow import MlflowClient

from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.deployment.record import DeploymentState
from mlstack.model.mlflow_api import connect
from mlstack.settings import ROOT, Settings
from model_orchestration import plots
from model_orchestration.registration import register
from model_orchestration.search import search
from model_orchestration.tracking import SearchTracking, Winner
from model_orchestration.trials import Rows, Trial
from tests.support.models import contract_text
from tests.support.ports import free_port
from tests.support.raw_tables import raw_table
from tests.support.waiting import wait_until

TRIALS = 2


@dataclass(frozen=True)
class TrackingServer:
    """A running server, its database and its artifacts."""

    address: str
    store_uri: str
    artifacts: Path

    def settings(self, state: Path, **changed: object) -> Settings:
        """Make settings that lead to it."""
        own = {
            "state_dir": state,
            "mlflow_backend_store_uri": self.store_uri,
            "mlflow_artifacts_destination": str(self.artifacts),
        }
        return Settings.model_validate(own | changed)

    @property
    def database(self) -> Path:
        """Path of its database."""
        return Path(self.store_uri.removeprefix("sqlite:///"))

    def artifact_bytes(self, runs: Sequence[str] | None = None) -> int:
        """Sum the bytes of models and plots, of all runs or of some."""
        if runs is None:
            return _bytes(self.artifacts)
        marks = ",".join("?" * len(runs))
        query = (
            f"SELECT artifact_uri FROM runs WHERE run_uuid IN ({marks}) UNION ALL "  # noqa: S608 - marks only
            f"SELECT artifact_location FROM logged_models WHERE source_run_id IN ({marks})"
        )
        with closing(sqlite3.connect(self.database)) as database:
            places = [place for (place,) in database.execute(query, [*runs, *runs])]
        return sum(_bytes(self.artifacts / p.removeprefix("mlflow-artifacts:/")) for p in places)


@dataclass(frozen=True)
class OnServer:
    """What a test has put on a server; `settings` lead there."""

    server: TrackingServer
    settings: Settings

    @property
    def client(self) -> MlflowClient:
        """A client of the server."""
        return MlflowClient(self.server.address)

    def lives(self, run_id: str) -> bool:
        """Say whether a run is not deleted."""
        return bool(self.client.get_run(run_id).info.lifecycle_stage == "active")


@dataclass(frozen=True)
class Searched:
    """A search in MLflow."""

    parent: str
    winner: str
    others: tuple[str, ...]
    version: str

    @property
    def runs(self) -> tuple[str, ...]:
        return (self.parent, self.winner, *self.others)


@contextmanager
def tracking_server(folder: Path) -> Iterator[TrackingServer]:
    """Run a server until the block ends, with `MLFLOW_TRACKING_URI` set to it."""
    port = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    server = TrackingServer(
        f"http://127.0.0.1:{port}", f"sqlite:///{folder}/mlflow.db", folder / "artifacts"
    )
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1", "--serve-artifacts", "--backend-store-uri", server.store_uri),
        *("--artifacts-destination", str(server.artifacts)),
        *("--default-artifact-root", "mlflow-artifacts:/"),
    ]
    environment = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    with (folder / "server.log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: _answers(server.address), "MLflow answers", seconds=120)
            patch.setenv("MLFLOW_TRACKING_URI", server.address)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def run_search(
    tracking: SearchTracking, contract: Contract, parts: dataset.SplitRows
) -> tuple[Trial, Winner]:
    """Search with a few trials; return the best one, as found and as tracked."""
    train, validation, test = (Rows.encode(part, contract) for part in parts)
    best = search(
        train,
        validation,
        contract.target,
        trials=TRIALS,
        seed=1,
        on_trial=lambda trial, _: tracking.add(trial),
    )
    tracking.finish_trials()
    return best, tracking.conclude(best, parts.train, train, test)


def small_search(contract: Contract, name: str) -> Searched:
    """Search over a made-up table and register the winner; its plot is blank, which is faster."""
    client, rows = connect(), dataset.clean(raw_table(contract, rows=200), contract)
    parts = dataset.split(rows, contract)
    tracking = SearchTracking(contract, contract_text(contract), tags={}, params={}, name=name)
    with tracking, pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "all_plots", lambda *_: {"blank.png": Figure()})
        _, winner = run_search(tracking, contract, parts)
    registered = register(contract, winner, parts.test)
    others = client.search_runs(
        [tracking.experiment_id], f"tags.mlflow.parentRunId = '{tracking.run_id}'"
    )
    return Searched(
        tracking.run_id,
        winner.run_id,
        tuple(run.info.run_id for run in others if run.info.run_id != winner.run_id),
        registered.version,
    )


def make_old(client: MlflowClient, runs: tuple[str, ...], ended: datetime) -> None:
    """Set the time at which runs ended."""
    for run_id in runs:
        client.set_terminated(run_id, end_time=int(ended.timestamp() * 1000))


def make_deployments_old(state: Path) -> None:
    """Set the times of all deployments so far to long ago."""
    deployments = DeploymentState(state)
    entries = deployments.history()
    (state / "deployments.jsonl").unlink()
    for entry in entries:
        at = entry.at - timedelta(days=200)
        deployments.add_to_history(entry.model_copy(update={"at": at}))


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _answers(address: str) -> bool:
    try:
        return requests.get(f"{address}/health", timeout=1).ok
    except requests.RequestException:
        return False
