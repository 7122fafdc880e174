"""Back up and restore MLflow's database, copied live, and its artifacts."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from mlstack.files import sync_names
from mlstack.settings import ROOT, Settings
from operations.backup.archive import ArchiveWriter, BackupError

_DATABASE, _ARTIFACTS = "mlflow/mlflow.db", "mlflow/artifacts"
_RUNS, _VERSION = "runs", "alembic_version"
# Row counts of a new database: schema version, experiment `Default` and its workspace.
_INITIAL_ROWS = {_VERSION: 1, "experiments": 1, "workspaces": 1}
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class MlflowFiles:
    """The files of the MLflow server.

    Every method raises BackupError if the database is damaged or locked, or its disk is full.

    Args:
        database: The SQLite file; None if another database server has the data.
        database_elsewhere: That server and its database, without a login; they are not backed up.
        artifacts: Folder of models and plots; None if they are in an object store.
        artifacts_elsewhere: That object store, which is not backed up.
    """

    database: Path | None
    database_elsewhere: str | None
    artifacts: Path | None
    artifacts_elsewhere: str | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Locate the files."""
        uri = settings.mlflow_backend_store_uri
        is_file = uri.startswith(_SQLITE)
        place = settings.mlflow_artifacts_destination.removeprefix("file://")
        is_bucket = "://" in place
        return cls(
            database=ROOT / uri.removeprefix(_SQLITE) if is_file else None,
            database_elsewhere=None if is_file else _without_login(uri),
            artifacts=None if is_bucket else ROOT / place,
            artifacts_elsewhere=place if is_bucket else None,
        )

    def save(self, archive: ArchiveWriter) -> dict[str, int]:
        """Add database and artifacts; return the number of runs and files.

        The database comes first, so that the backup contains every artifact that the saved database
        refers to. Raises BackupError if there is no database yet.
        """
        counts = {} if self.database is None else self._save_database(self.database, archive)
        files = self._artifact_files()
        for name, path in files.items():
            archive.add_file(f"{_ARTIFACTS}/{name}", path)
        return {**counts, "files of artifacts": len(files)}

    def list_contents(self) -> list[str]:
        """List what MLflow has beyond a new server's content; empty if nothing."""
        found = []
        if self.database is not None and self.database.exists():
            with _sqlite_errors(), closing(_open(self.database)) as live:
                counts = {table: _count(live, table) for table in sorted(_tables(live))}
            found = [
                f"{count:,} {table} in MLflow"
                for table, count in counts.items()
                if count > _INITIAL_ROWS.get(table, 0)
            ]
        if self._artifact_files():
            found.append("artifacts in MLflow")
        return found

    def check_version(self, folder: Path, mlflow_version: str) -> None:
        """Raise BackupError if the backup's tables differ from those of MLflow here.

        `folder` has the unpacked backup, which `mlflow_version` created.
        """
        if self.database is None or not self.database.exists():
            return
        with (
            _sqlite_errors(),
            closing(_open(self.database)) as live,
            closing(_open(folder / _DATABASE)) as saved,
        ):
            here, backed_up = _schema(live), _schema(saved)
        if here is not None and here != backed_up:
            raise BackupError(
                f"the backup is from MLflow {mlflow_version}, whose tables differ from those of "
                "the MLflow here: restore it with that version, then upgrade"
            )

    def restore(self, folder: Path) -> dict[str, int]:
        """Restore artifacts and database; return the counts, as `save` does.

        SQLite replaces the database in one transaction, so a server that has it open sees the new
        content. `folder`, the unpacked backup, must be on the same disk as the artifacts.
        """
        if self.artifacts is not None and (folder / _ARTIFACTS).exists():
            if self.artifacts.exists():
                shutil.rmtree(self.artifacts)  # it contains only empty folders
            (folder / _ARTIFACTS).rename(self.artifacts)
            sync_names(self.artifacts.parent)
        counts = {"files of artifacts": len(self._artifact_files())}
        if self.database is None:
            return counts
        with (
            _sqlite_errors(),
            closing(_open(folder / _DATABASE)) as saved,
            closing(sqlite3.connect(self.database, timeout=_BUSY_SECONDS)) as live,
        ):
            saved.backup(live)
            return {**counts, "runs": _count_runs(live)}

    def _save_database(self, database: Path, archive: ArchiveWriter) -> dict[str, int]:
        if not database.exists():
            raise BackupError("MLflow has no database yet; run: make setup-model-registry")
        with _sqlite_errors(), self._copy(database) as path, closing(_open(path)) as copy:
            archive.add_file(_DATABASE, path)
            return {"runs": _count_runs(copy)}

    @contextmanager
    def _copy(self, database: Path) -> Iterator[Path]:
        # Fixed name: the next backup replaces the copy that a killed one left.
        copy = database.with_name(f"{database.name}.backup")
        copy.unlink(missing_ok=True)
        try:
            with closing(_open(database)) as live, closing(sqlite3.connect(copy)) as saved:
                live.backup(saved)
                if saved.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                    raise BackupError("MLflow's database is damaged")
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def _artifact_files(self) -> dict[str, Path]:
        """Return the files by their path relative to the folder."""
        if self.artifacts is None:
            return {}
        paths = sorted(path for path in self.artifacts.rglob("*") if path.is_file())
        return {path.relative_to(self.artifacts).as_posix(): path for path in paths}


def _without_login(uri: str) -> str:
    """Return kind, servers and name of a database."""
    parts = urlsplit(uri)
    return f"{parts.scheme.partition('+')[0]}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


@contextmanager
def _sqlite_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"MLflow's database: {error}") from error


def _tables(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {str(name) for (name,) in found}


def _count(database: sqlite3.Connection, table: str) -> int:
    (count,) = database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()  # noqa: S608 - the database's own name
    return int(count)


def _count_runs(database: sqlite3.Connection) -> int:
    return _count(database, _RUNS) if _RUNS in _tables(database) else 0


def _schema(database: sqlite3.Connection) -> str | None:
    """Return the schema version of MLflow's tables; None if there are none yet."""
    if _VERSION not in _tables(database):
        return None
    row = database.execute(f"SELECT version_num FROM {_VERSION}").fetchone()  # noqa: S608 - a constant
    return None if row is None else str(row[0])
