"""The deployment record, its history, and the workers' statements.

They are files in the state folder, shared by all servers of a machine. If several machines share
one record (`DEPLOYMENT_RECORD`), the files are its local copy, see `mlstack.deployment.member`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack import machine_clock
from mlstack.errors import DeploymentError
from mlstack.files import write_atomically

STATEMENT_SECONDS = 1.0
"""Seconds after which a worker renews its statement."""

_STALE_SECONDS = 10.0
"""Age of a statement at which its worker counts as gone."""

LOCK_SECONDS = 10.0
"""How long a deployment waits for another one, or for a restore."""

DEPLOYED = "deployed"


class FrozenModel(BaseModel):
    """Base of what is stored as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(FrozenModel):
    """The deployed model."""

    run_id: str
    deployed_at: datetime
    deployed_by: str


Action = Literal["deploy", "follow", "rollback"]
"""`follow` means that the environment's file names the run; the others are commands."""


class HistoryEntry(FrozenModel):
    """One attempt to deploy, successful or not."""

    at: datetime
    by: str
    action: Action
    from_run_id: str | None
    to_run_id: str
    result: str
    """`DEPLOYED`, or the reason for the failure."""

    @property
    def succeeded(self) -> bool:
        """Whether the run was deployed."""
        return self.result == DEPLOYED


class Statement(FrozenModel):
    """What one worker of a server serves."""

    server: str
    worker: str
    run_id: str | None
    """The model in use; None if there is none yet."""
    refused: Record | None = None
    """The record that the worker could not follow. The run id alone would not do: an earlier record
    may name the same model."""
    reason: str | None = None
    """Why the worker could not follow it."""
    written: str = ""
    """When it was written: a stamp of `mlstack.machine_clock`."""


class DeploymentState:
    """The files in the state folder (`folder`) that deploys and servers share."""

    def __init__(self, folder: Path) -> None:
        self._record = folder / "deployment.json"
        self._history = folder / "deployments.jsonl"
        self._statements = folder / "serving"
        self._lock = folder / "deploy.lock"

    def record(self) -> Record | None:
        """Return the record; None if nothing was ever deployed.

        Raises DeploymentError if the file is not a record (it was edited).
        """
        try:
            return Record.model_validate_json(self._record.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise DeploymentError(
                f"{self._record} is not a deployment record: remove it and deploy again ({error})"
            ) from error

    def write_record(self, run_id: str, by: str) -> Record:
        """Replace the record, which makes the workers load this model."""
        record = Record(run_id=run_id, deployed_at=datetime.now(UTC), deployed_by=by)
        self._write(record)
        return record

    def remove_record(self) -> None:
        """Remove the record, as if nothing had ever been deployed."""
        self._record.unlink(missing_ok=True)

    def history(self) -> list[HistoryEntry]:
        """Return all deployment attempts, oldest first.

        Raises DeploymentError if a line is not an entry (the file was edited).
        """
        if not self._history.exists():
            return []
        entries = []
        for number, line in enumerate(self._history.read_bytes().split(b"\n"), 1):
            if not line:
                continue
            try:
                entries.append(HistoryEntry.model_validate_json(line))
            except ValidationError as error:
                raise DeploymentError(
                    f"{self._history}, line {number}, is not a deployment: remove it ({error})"
                ) from error
        return entries

    def deployed_runs(self) -> list[str]:
        """Return the runs that a rollback steps through, the current one last.

        Runs that were rolled back are left out.
        """
        stack: list[str] = []
        for entry in self.history():
            if not entry.succeeded:
                continue
            if entry.action == "rollback" and entry.to_run_id in stack:
                # A rollback after a killed deploy returns to the last run, so nothing is removed.
                while stack[-1] != entry.to_run_id:
                    stack.pop()
            elif stack[-1:] != [entry.to_run_id]:
                stack.append(entry.to_run_id)
        return stack

    def add_to_history(self, entry: HistoryEntry) -> None:
        """Append one entry."""
        self._write_history([*self.history(), entry])

    def copy(self, record: Record | None, history: Iterable[HistoryEntry]) -> None:
        """Replace record and history by those that machines share."""
        # The record comes last, because servers start once it exists.
        self._write_history(history)
        if record is None:
            self.remove_record()
        else:
            self._write(record)

    def _write(self, record: Record) -> None:
        write_atomically(self._record, record.model_dump_json(indent=2).encode())

    def _write_history(self, entries: Iterable[HistoryEntry]) -> None:
        text = "".join(f"{entry.model_dump_json()}\n" for entry in entries)
        write_atomically(self._history, text.encode())

    def write_statement(self, statement: Statement) -> None:
        """Write or renew a worker's statement."""
        path = self._statements / f"{statement.server}-{statement.worker}.json"
        stamped = statement.model_copy(update={"written": machine_clock.stamp()})
        # Not synced: after a power failure the worker is gone too.
        write_atomically(path, stamped.model_dump_json().encode(), sync=False)

    def remove_statement(self, server: str, worker: str) -> None:
        """Remove the statement of a stopping worker."""
        (self._statements / f"{server}-{worker}.json").unlink(missing_ok=True)

    def statements(self) -> list[Statement]:
        """Return the statements of running workers; remove those of dead ones."""
        living = []
        for path in sorted(self._statements.glob("*.json")):
            try:
                statement = Statement.model_validate_json(path.read_bytes())
                if machine_clock.age_seconds(statement.written, path) > _STALE_SECONDS:
                    path.unlink(missing_ok=True)
                else:
                    living.append(statement)
            except FileNotFoundError:
                continue  # its worker has just ended
            except ValidationError:
                # A power failure has emptied it; a running worker writes it again.
                path.unlink(missing_ok=True)
        return living

    def reached(self) -> str:
        """Say which machines the last deployment reached; empty if there is only this one."""
        return ""

    @contextmanager
    def lock(self, seconds: float = LOCK_SECONDS) -> Iterator[None]:
        """Prevent other processes from deploying, restoring or pruning models.

        Raises DeploymentError if another process holds the lock for longer than `seconds`. Pruning
        holds it for one run at a time, much shorter than the default.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=seconds)
        except Timeout as error:
            raise DeploymentError(
                "another deployment, or a restore, is in progress; try again when it has finished"
            ) from error
        try:
            yield
        finally:
            lock.release()
