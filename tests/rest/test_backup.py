"""A backup of a running stack, restored into a new one: real MLflow, real MongoDB."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.record import DEPLOYED, DeploymentState, HistoryEntry, Statement
from mlstack.errors import MlstackError
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.entry import Entry
from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.quarantine import Quarantine, Rejected
from mlstack.settings import Settings
from operations.backup import create
from operations.backup.archive import BackupError
from operations.backup.create import create_backup
from operations.backup.restore import restore_backup
from operations.maintenance import MaintenanceError, maintenance
from tests.support.customers import contract_named
from tests.support.models import predictions
from tests.support.mongo import MongoServer
from tests.support.ports import free_port
from tests.support.tracking_server import Searched, small_search, tracking_server

PREDICTIONS = 2500


@dataclass(frozen=True)
class Saved:
    """A stack that was in use, and its backup."""

    settings: Settings
    searched: Searched
    backup: bytes
    content: dict[str, Any]


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def saved(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    folder = tmp_path_factory.mktemp("saved")
    with (
        MongoServer(folder / "mongo") as mongo,
        tracking_server(folder / "mlflow") as tracking,
    ):
        settings = tracking.settings(folder / "state", mongo_uri=mongo.uri)
        searched = small_search(contract, "kept")
        _fill(settings, searched.winner)
        stream = io.BytesIO()
        create_backup(settings, stream, print)
        yield Saved(settings, searched, stream.getvalue(), _content(settings, contract))


def _fill(settings: Settings, run_id: str) -> None:
    """Predictions, outcomes, and a deployment of the run."""
    now = datetime.now(UTC)
    sink = MongoSink(settings.mongo_uri)
    sink.prepare()
    ids = [f"{number:05}" for number in range(PREDICTIONS)]
    for some in (ids[:1500], ids[1500:]):
        sink.store_predictions(
            [{"_id": each, "prediction": 0.25, "created_at": now.isoformat()} for each in some]
        )
    sink.store_outcomes(
        [{"_id": each, "target": 1, "target_at": now.isoformat()} for each in ids[:9]]
    )
    sink.close()
    unstorable = Entry(1, "prediction", b"{", now.timestamp())
    Quarantine(settings.quarantine_path).add([Rejected(unstorable, "it is no JSON")], "api")
    damaged = settings.spool_path / "api-damaged.spool"
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"damaged")
    Quarantine(settings.quarantine_path).add_file(damaged, "malformed")
    ModelStore.of(settings).load(run_id)
    state = DeploymentState(settings.state_path)
    state.write_record(run_id, "test")
    entry = {"at": now, "by": "test", "action": "deploy", "from_run_id": None, "result": DEPLOYED}
    state.add_to_history(HistoryEntry.model_validate({**entry, "to_run_id": run_id}))


def _content(settings: Settings, contract: Contract) -> dict[str, Any]:
    """Read everything that a restore has to bring back."""
    with MongoClient[dict[str, Any]](settings.mongo_uri, tz_aware=True) as mongo:
        database = mongo[DATABASE]
        documents = {name: list(database[name].find().sort("_id")) for name in ("data", "outcome")}
    state = DeploymentState(settings.state_path)
    record = state.record()
    assert record is not None
    client = MlflowClient()
    chosen = client.get_run(record.run_id)
    return {
        **documents,
        "quarantine": Quarantine(settings.quarantine_path).entries(),
        "damaged": {
            path.name: path.read_bytes()
            for path in Quarantine(settings.quarantine_path).damaged_files()
        },
        "record": record,
        "history": state.history(),
        "runs": sorted(
            run.info.run_id
            for run in client.search_runs([chosen.info.experiment_id], max_results=1000)
        ),
        "metrics": chosen.data.metrics,
        "versions": [
            (each.name, each.version, each.run_id, each.aliases)
            for each in client.search_model_versions()
        ],
        "answers": predictions(ModelStore.of(settings).load(record.run_id), _drawn(contract)),
    }


def test_backup_is_restored_into_a_new_stack(
    saved: Saved, contract: Contract, tmp_path: Path
) -> None:
    """Documents, runs, models and the deployment are there again."""
    with (
        MongoServer(tmp_path / "mongo") as mongo,
        tracking_server(tmp_path / "mlflow") as tracking,
    ):
        settings = tracking.settings(tmp_path / "state", mongo_uri=mongo.uri)
        manifest = restore_backup(settings, io.BytesIO(saved.backup))
        assert manifest.counts["data"] == PREDICTIONS
        assert manifest.counts["outcome"] == 9
        assert manifest.counts["quarantine"] == 2
        assert manifest.counts["deployments"] == 1
        assert manifest.counts["runs"] == len(saved.searched.runs)
        # The model, too, comes from MLflow again.
        assert _content(settings, contract) == saved.content
        # The MLflow server goes on working with the restored database.
        small_search(contract, "kept")
        assert not (tmp_path / "mlflow/restore").exists()
        again = io.BytesIO()
        create_backup(settings, again, print)
        again.seek(0)
        with pytest.raises(BackupError) as refused:
            restore_backup(settings, again)
    words = str(refused.value)
    for there in ("runs in MLflow", "model_versions", "artifacts", "MongoDB", "a deployment"):
        assert there in words


@pytest.fixture
def new(mongo: str, tmp_path: Path) -> Settings:
    """A stack that is new; MLflow has made no database yet."""
    (tmp_path / "mlflow").mkdir()
    return Settings(
        mongo_uri=mongo,
        state_dir=tmp_path / "state",
        mlflow_backend_store_uri=f"sqlite:///{tmp_path}/mlflow/mlflow.db",
        mlflow_artifacts_destination=str(tmp_path / "mlflow/artifacts"),
    )


def test_entry_quarantined_during_a_backup_is_restored(
    saved: Saved, new: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup may contain an entry that came after it had counted them."""
    stream = io.BytesIO()
    with monkeypatch.context() as patched:
        patched.setattr(Quarantine, "count", lambda _: 1)
        create_backup(saved.settings, stream, print)
    stream.seek(0)
    restore_backup(new, stream)
    assert Quarantine(new.quarantine_path).count() == 2


class TestRefusal:
    """A refused restore says why, and has changed nothing."""

    def _refused(self, settings: Settings, backup: bytes, kind: type[MlstackError]) -> str:
        with pytest.raises(kind) as refused:
            restore_backup(settings, io.BytesIO(backup))
        assert DeploymentState(settings.state_path).record() is None
        assert not list((settings.state_path.parent / "mlflow").glob("artifacts*"))
        return str(refused.value)

    def test_restore_refuses_a_backup_that_was_cut_off(self, saved: Saved, new: Settings) -> None:
        """A file that breaks off restores nothing."""
        assert "incomplete" in self._refused(new, saved.backup[:-1000], BackupError)

    def test_restore_refuses_while_servers_write(self, saved: Saved, new: Settings) -> None:
        """Running servers would write between the restored documents."""
        statement = Statement(server="api", worker="1", run_id=None)
        DeploymentState(new.state_path).write_statement(statement)
        assert "api running" in self._refused(new, saved.backup, BackupError)

    def test_restore_refuses_existing_predictions(self, saved: Saved, new: Settings) -> None:
        """A restore replaces no prediction."""
        with MongoClient[dict[str, Any]](new.mongo_uri) as client:
            client[DATABASE]["data"].insert_one({"_id": "mine"})
            assert "documents in MongoDB" in self._refused(new, saved.backup, BackupError)
            assert client[DATABASE]["data"].count_documents({}) == 1

    def test_restore_refuses_a_database_of_another_mlflow(
        self, saved: Saved, new: Settings, tmp_path: Path
    ) -> None:
        """Its tables are not those of this MLflow."""
        with closing(sqlite3.connect(tmp_path / "mlflow/mlflow.db")) as database, database:
            database.execute("CREATE TABLE alembic_version (version_num TEXT)")
            database.execute("INSERT INTO alembic_version VALUES ('another')")
        assert "then upgrade" in self._refused(new, saved.backup, BackupError)

    def test_restore_refuses_an_experiment_that_exists(
        self, saved: Saved, new: Settings, tmp_path: Path
    ) -> None:
        """A restore replaces no run of people's own."""
        with closing(sqlite3.connect(tmp_path / "mlflow/mlflow.db")) as database, database:
            database.execute("CREATE TABLE experiments (name TEXT)")
            database.execute("INSERT INTO experiments VALUES ('Default'), ('mine')")
        assert "2 experiments in MLflow" in self._refused(new, saved.backup, BackupError)

    def test_restore_refuses_a_damaged_database(
        self, saved: Saved, new: Settings, tmp_path: Path
    ) -> None:
        """Damage is found before anything is written."""
        (tmp_path / "mlflow/mlflow.db").write_bytes(b"no database at all" * 1000)
        assert "MLflow's database: " in self._refused(new, saved.backup, BackupError)
        with pytest.raises(BackupError, match="MLflow's database: "):
            create_backup(new, io.BytesIO(), print)

    def test_restore_refuses_artifacts_kept_elsewhere(self, saved: Saved, new: Settings) -> None:
        """Artifacts in a bucket are neither saved nor restored."""
        elsewhere = {"mlflow_artifacts_destination": "s3://bucket/artifacts"}
        refused = self._refused(new.model_copy(update=elsewhere), saved.backup, BackupError)
        assert "kept in s3://bucket/artifacts" in refused
        stream = io.BytesIO()
        manifest = create_backup(saved.settings.model_copy(update=elsewhere), stream, print)
        assert manifest.counts["files of artifacts"] == 0
        assert len(stream.getvalue()) < len(saved.backup)
        refused = self._refused(new, stream.getvalue(), BackupError)
        assert "artifacts are s3://bucket/artifacts" in refused

    def test_backup_and_restore_are_refused_during_a_prune(
        self, saved: Saved, new: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Neither starts before the pruning has ended."""
        monkeypatch.setattr(create, "_PATIENCE_SECONDS", 0.1)
        with maintenance(new.state_path):
            assert "is running" in self._refused(new, saved.backup, MaintenanceError)
            said: list[str] = []
            with pytest.raises(MaintenanceError):
                create_backup(new, io.BytesIO(), said.append)
            assert len(said) == 1
            assert "waiting for a running prune" in said[0]

    def test_backup_without_mongodb_says_so(self, saved: Saved, new: Settings) -> None:
        """Neither backup nor restore goes on without MongoDB."""
        absent = f"mongodb://127.0.0.1:{free_port()}/?serverSelectionTimeoutMS=300"
        settings = new.model_copy(update={"mongo_uri": absent})
        assert "MongoDB" in self._refused(settings, saved.backup, StorageUnavailable)
        with pytest.raises(StorageUnavailable):
            create_backup(settings, io.BytesIO(), print)

    def test_backup_of_a_stack_never_set_up_is_refused(self, new: Settings) -> None:
        """There is nothing to save."""
        with pytest.raises(BackupError, match="no database yet"):
            create_backup(new, io.BytesIO(), print)


def _drawn(contract: Contract) -> list[Customer]:
    return CustomerGenerator(contract, seed=1).draw(20)
