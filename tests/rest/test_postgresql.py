"""MLflow and Prefect keep their data in PostgreSQL if their settings say so."""

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
from mlflow import MlflowClient

from mlstack.settings import ROOT, Settings
from operations.backup.archive import BackupError
from operations.backup.create import create_backup
from operations.backup.restore import restore_backup
from operations.embedded.services import all_services
from tests.support.ports import free_port
from tests.support.postgresql import PASSWORD, PROGRAMS, postgresql, run
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with postgresql() as address:
        for name in ("mlflow", "prefect", "another"):
            run(address, f"CREATE DATABASE {name}")
        yield address


def _settings(address: str, folder: Path, database: str = "mlflow", mongo: str = "") -> Settings:
    return Settings(
        mlflow_port=free_port(),
        prefect_port=free_port(),
        mlflow_backend_store_uri=f"postgresql+psycopg://{address}/{database}",
        prefect_server_database_connection_url=f"postgresql+asyncpg://{address}/prefect",
        mlflow_artifacts_destination=str(folder / "artifacts"),
        state_dir=folder / "state",
        mongo_uri=mongo or "mongodb://127.0.0.1:9",
    )


@contextmanager
def _service(name: str, settings: Settings, folder: Path) -> Iterator[str]:
    """Run a service as the embedded stack does; yield its address."""
    (service,) = (each for each in all_services(settings) if each.name == name)
    environment = {**os.environ, **service.environment, "PREFECT_HOME": str(folder / "prefect")}
    with (folder / f"{name}.log").open("wb") as log:
        process = psutil.Popen(service.command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            wait_until(lambda: service.probe().ready, f"{name} is ready", seconds=180)
            family = [process, *process.children(recursive=True)]
            assert not any(PASSWORD in word for each in family for word in each.cmdline())
            yield service.address
        finally:
            process.terminate()
            process.wait(timeout=60)


def _tables(address: str, database: str) -> set[str]:
    query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with psycopg.connect(f"postgresql://{address}/{database}") as connection:
        return {name for (name,) in connection.execute(query)}


def test_prefect_keeps_its_history_in_postgresql(address: str, tmp_path: Path) -> None:
    with _service("prefect-server", _settings(address, tmp_path), tmp_path):
        assert {"flow_run", "deployment"} <= _tables(address, "prefect")
    assert not list((tmp_path / "prefect").glob("*.db"))


def test_runs_in_postgresql_are_saved_and_restored(
    address: str, mongo: str, tmp_path: Path
) -> None:
    """The database by its own tools, all else by make; no password is shown."""
    settings = _settings(address, tmp_path, mongo=mongo)
    with _service("mlflow", settings, tmp_path) as server:
        client = MlflowClient(server)
        kept = client.create_run("0", run_name="kept").info.run_id
        client.log_text(kept, "an artifact", "note.txt")
    assert "runs" in _tables(address, "mlflow")
    stream = io.BytesIO()
    manifest = create_backup(settings, stream, print)
    host = address.partition("@")[2]
    assert manifest.database_elsewhere == f"postgresql://{host}/mlflow"
    assert manifest.counts["files of artifacts"] == 1
    assert PASSWORD not in f"{manifest!r} {settings!r}"
    assert PROGRAMS is not None
    connection = f"postgresql://{address}"
    dump = ("--format=custom", f"--file={tmp_path}/dump", f"{connection}/mlflow")
    subprocess.run([PROGRAMS / "pg_dump", *dump], check=True)
    restore = ("--no-owner", f"--dbname={connection}/another", f"{tmp_path}/dump")
    subprocess.run([PROGRAMS / "pg_restore", *restore], check=True)
    (tmp_path / "new").mkdir()
    new = _settings(address, tmp_path / "new", "another", mongo)
    stream.seek(0)
    restore_backup(new, stream)
    with _service("mlflow", new, tmp_path) as server:
        assert MlflowClient(server).get_run(kept).info.run_name == "kept"
        assert [each.path for each in MlflowClient(server).list_artifacts(kept)] == ["note.txt"]


def test_backup_without_its_database_is_not_restored_into_a_file(
    address: str, mongo: str, tmp_path: Path
) -> None:
    """The runs would be missing."""
    stream = io.BytesIO()
    create_backup(_settings(address, tmp_path, mongo=mongo), stream, print)
    stream.seek(0)
    file = {"mlflow_backend_store_uri": f"sqlite:///{tmp_path}/mlflow.db"}
    other = _settings(address, tmp_path, mongo=mongo).model_copy(update=file)
    with pytest.raises(BackupError, match=r"database is postgresql://.*here it is a SQLite file"):
        restore_backup(other, stream)
