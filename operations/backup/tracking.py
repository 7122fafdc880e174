"""MLflow's part of a backup: its database, copied while it runs, and the folder of artifacts."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mlstack.files import sync_names
from mlstack.settings import ROOT, Settings
from operations.backup.archive import ArchiveWriter, BackupError

_DATABASE, _ARTIFACTS = "mlflow/mlflow.db", "mlflow/artifacts"
_RUNS, _VERSION = "runs", "alembic_version"
# The version of its tables, the experiment `Default`, and the workspace that it is in.
_AT_THE_BEGINNING = {_VERSION: 1, "experiments": 1, "workspaces": 1}
_SQLITE = "sqlite:///"
_BUSY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class TrackingFiles:
    """Where MLflow keeps what it knows.

    Every method raises BackupError when the database is damaged, locked, or its disk is full.

    Args:
        database: Its SQLite file.
        artifacts: Folder of models and plots; None: they are elsewhere.
        elsewhere: The object store that has them, and keeps them itself.
    """

    database: Path
    artifacts: Path | None
    elsewhere: str | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Finds them. Raises BackupError: the database is another one than SQLite."""
        uri = settings.mlflow_backend_store_uri
        if not uri.startswith(_SQLITE):
            raise BackupError(
                "MLFLOW_BACKEND_STORE_URI: only a SQLite file is backed up here; another database "
                "has tools of its own"
            )
        database = ROOT / uri.removeprefix(_SQLITE)
        place = settings.mlflow_artifacts_destination.removeprefix("file://")
        if "://" in place:
            return cls(database, None, place)
        return cls(database, ROOT / place, None)

    def save(self, archive: ArchiveWriter) -> dict[str, int]:
        """Adds the database, then the artifacts: what it names is there, or comes later.

        Returns:
            How many runs and how many files of artifacts.

        Raises:
            BackupError: there is no database, or it is damaged.
        """
        if not self.database.exists():
            raise BackupError("MLflow has no database yet: is it set up?")
        with _sqlite_answers(), self._copy() as copy:
            archive.add_file(_DATABASE, copy)
            runs = _count_runs(copy)
        files = self._artifact_files()
        for name, path in files.items():
            archive.add_file(f"{_ARTIFACTS}/{name}", path)
        return {"runs": runs, "files of artifacts": len(files)}

    def what_is_there(self) -> list[str]:
        """What MLflow has beyond what it begins with, in words; empty: nothing."""
        there = []
        if self.database.exists():
            with _sqlite_answers(), closing(_open(self.database)) as live:
                counts = {table: _count(live, table) for table in sorted(_tables(live))}
            there = [
                f"{count:,} {table} in MLflow"
                for table, count in counts.items()
                if count > _AT_THE_BEGINNING.get(table, 0)
            ]
        if self._artifact_files():
            there.append("artifacts of MLflow's")
        return there

    def check_version(self, folder: Path, mlflow_version: str) -> None:
        """Makes sure that a backup's tables are those of the MLflow that runs here.

        Args:
            folder: The unpacked backup.
            mlflow_version: The one that it is from.

        Raises:
            BackupError: they are another version's.
        """
        if not self.database.exists():
            return
        with (
            _sqlite_answers(),
            closing(_open(self.database)) as live,
            closing(_open(folder / _DATABASE)) as saved,
        ):
            here, there = _schema(live), _schema(saved)
        if here is not None and here != there:
            raise BackupError(
                f"the backup is from MLflow {mlflow_version}, whose database has other tables "
                "than the MLflow here: restore it with that version, then upgrade"
            )

    def restore(self, folder: Path) -> dict[str, int]:
        """Puts artifacts and database where there are none.

        The database is written by SQLite itself, in one transaction: a server that has it open
        sees the new one from then on.

        Args:
            folder: The unpacked backup, on the disk that the artifacts belong on.

        Returns:
            As `save`, of what is there then.
        """
        if self.artifacts is not None and (folder / _ARTIFACTS).exists():
            if self.artifacts.exists():
                shutil.rmtree(self.artifacts)  # folders without a file
            (folder / _ARTIFACTS).rename(self.artifacts)
            sync_names(self.artifacts.parent)
        with (
            _sqlite_answers(),
            closing(_open(folder / _DATABASE)) as saved,
            closing(sqlite3.connect(self.database, timeout=_BUSY_SECONDS)) as live,
        ):
            saved.backup(live)
        with _sqlite_answers():
            runs = _count_runs(self.database)
        return {"runs": runs, "files of artifacts": len(self._artifact_files())}

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        # Always the same name: what a kill leaves, the next one replaces.
        copy = self.database.with_name(f"{self.database.name}.backup")
        copy.unlink(missing_ok=True)
        try:
            with closing(_open(self.database)) as live, closing(sqlite3.connect(copy)) as saved:
                live.backup(saved)
                if saved.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                    raise BackupError("MLflow's database is damaged: nothing was backed up")
            yield copy
        finally:
            copy.unlink(missing_ok=True)

    def _artifact_files(self) -> dict[str, Path]:
        """Files by their names below the folder."""
        if self.artifacts is None:
            return {}
        paths = sorted(path for path in self.artifacts.rglob("*") if path.is_file())
        return {path.relative_to(self.artifacts).as_posix(): path for path in paths}


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


@contextmanager
def _sqlite_answers() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BackupError(f"MLflow's database: {error}") from error


def _tables(database: sqlite3.Connection) -> set[str]:
    found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {str(name) for (name,) in found}


def _count(database: sqlite3.Connection, table: str) -> int:
    (count,) = database.execute(f'SELECT COUNT(*) FROM "{table}"').fetchone()  # noqa: S608 - its own
    return int(count)


def _count_runs(path: Path) -> int:
    with closing(_open(path)) as database:
        return _count(database, _RUNS) if _RUNS in _tables(database) else 0


def _schema(database: sqlite3.Connection) -> str | None:
    """MLflow's own version of its tables; None: there are none yet."""
    if _VERSION not in _tables(database):
        return None
    row = database.execute(f"SELECT version_num FROM {_VERSION}").fetchone()  # noqa: S608 - ours
    return None if row is None else str(row[0])
