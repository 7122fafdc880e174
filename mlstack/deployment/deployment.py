"""Which model is deployed, and how another one takes its place.

The deployment record is a file in the state folder that the servers share. Every worker
follows it and states beside it what it serves; a deploy checks the new model first,
replaces the record, and puts the old one back when a worker cannot follow.
"""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.contract import Contract
from mlstack.errors import DeploymentError, ModelError
from mlstack.files import write_atomically
from mlstack.model.model import Model
from mlstack.model.model_store import ModelStore
from mlstack.settings import Settings

STATEMENT_SECONDS = 1.0
"""How often a worker renews its statement."""

_STALE_SECONDS = 10.0
"""A worker whose statement is older is gone."""

TURN_SECONDS = 10.0
"""How long a deployment waits for another one."""

_FOLLOW_SECONDS = 60.0
"""How long the workers may take to load a new model."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Record(_Document):
    """What is deployed."""

    run_id: str
    deployed_at: datetime
    deployed_by: str


Action = Literal["deploy", "follow", "rollback"]
"""`follow`: because `RUN_ID` in the environment's file says so; the others are orders."""


class HistoryEntry(_Document):
    """One deployment that was tried, successful or not."""

    at: datetime
    by: str
    action: Action
    from_run_id: str | None
    to_run_id: str
    result: str
    """`deployed`, or why not."""

    @property
    def succeeded(self) -> bool:
        """Whether the new model came into service."""
        return self.result == DEPLOYED


DEPLOYED = "deployed"


class Statement(_Document):
    """What one worker of a server says it serves."""

    server: str
    worker: str
    run_id: str | None
    """The model in use; None: none yet."""
    refused: Record | None = None
    """The deployment that the worker was asked to follow and could not; not an earlier one of the
    same model."""
    reason: str | None = None
    """Why not."""


class DeploymentState:
    """The files that deploys and servers share.

    Args:
        folder: The state folder (`Settings.state_path`).
    """

    def __init__(self, folder: Path) -> None:
        self._record = folder / "deployment.json"
        self._history = folder / "deployments.jsonl"
        self._statements = folder / "serving"
        self._lock = folder / "deploy.lock"

    def record(self) -> Record | None:
        """What is deployed; None: nothing ever was.

        Raises:
            DeploymentError: the record is no record (somebody edited it).
        """
        try:
            return Record.model_validate_json(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise DeploymentError(
                f"{self._record} is no deployment record: remove it and deploy again ({error})"
            ) from error

    def write_record(self, run_id: str, by: str) -> Record:
        """Replaces the record: from now on the workers load this model."""
        record = Record(run_id=run_id, deployed_at=datetime.now(UTC), deployed_by=by)
        write_atomically(self._record, record.model_dump_json(indent=2).encode())
        return record

    def remove_record(self) -> None:
        """Back to where nothing was deployed."""
        self._record.unlink(missing_ok=True)

    def history(self) -> list[HistoryEntry]:
        """Every deployment that was tried, oldest first.

        Raises:
            DeploymentError: a line is no entry (somebody edited it).
        """
        if not self._history.exists():
            return []
        entries = []
        for number, line in enumerate(self._history.read_text(encoding="utf-8").split("\n"), 1):
            if not line:
                continue
            try:
                entries.append(HistoryEntry.model_validate_json(line))
            except ValidationError as error:
                raise DeploymentError(
                    f"{self._history}, line {number}, is no deployment: remove it ({error})"
                ) from error
        return entries

    def came_into_service(self) -> list[str]:
        """Runs that rollbacks go through, the present one last.

        What was itself rolled back from is not among them.
        """
        stack: list[str] = []
        for entry in self.history():
            if not entry.succeeded:
                continue
            if entry.action == "rollback" and entry.to_run_id in stack:
                # Not always just one: one from a deploy that was killed goes to the newest.
                while stack[-1] != entry.to_run_id:
                    stack.pop()
            elif stack[-1:] != [entry.to_run_id]:
                stack.append(entry.to_run_id)
        return stack

    def add_to_history(self, entry: HistoryEntry) -> None:
        """Appends one entry."""
        lines = [*self.history(), entry]
        text = "".join(f"{line.model_dump_json()}\n" for line in lines)
        write_atomically(self._history, text.encode())

    def state(self, statement: Statement) -> None:
        """Writes, or renews, a worker's statement."""
        path = self._statements / f"{statement.server}-{statement.worker}.json"
        # After a power cut there is no worker that it could speak for.
        write_atomically(path, statement.model_dump_json().encode(), sync=False)

    def withdraw(self, server: str, worker: str) -> None:
        """Removes the statement of a worker that ends."""
        (self._statements / f"{server}-{worker}.json").unlink(missing_ok=True)

    def statements(self) -> list[Statement]:
        """What the living workers say; a dead worker's statement is removed."""
        living = []
        for path in sorted(self._statements.glob("*.json")):
            try:
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink(missing_ok=True)
                else:
                    living.append(Statement.model_validate_json(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue  # its worker ended between the listing and the reading
        return living

    @contextmanager
    def deploying(self, patience_seconds: float = TURN_SECONDS) -> Iterator[None]:
        """One at a time deploys, restores, or removes what a deployment could want.

        Args:
            patience_seconds: How long to wait for whoever is at it. Pruning takes much less than
                the default for one run.

        Raises:
            DeploymentError: it was not enough.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock)
        try:
            lock.acquire(timeout=patience_seconds)
        except Timeout as error:
            raise DeploymentError(
                "another deployment, or a restore, is under way; try again when it ends"
            ) from error
        try:
            yield
        finally:
            lock.release()


class Deployer:
    """Brings models into service.

    Args:
        settings: Where the state folder is, the contract that requests follow, who deploys.
        registry: Where models come from.
    """

    def __init__(self, settings: Settings, registry: ModelStore) -> None:
        self._contract_path = settings.contract_path
        self._registry = registry
        self._mlflow = settings.mlflow_url
        self._by = settings.deployed_by
        self.state = DeploymentState(settings.state_path)

    def deploy(self, run_id: str) -> None:
        """Deploys a run's model: checks it, replaces the record, waits for every worker.

        With no worker running the record alone is replaced; they start with it.

        Raises:
            ModelError: the model is unknown or does not verify; nothing was touched.
            DeploymentError: another deployment is under way, or a worker could not follow
                and the old model is deployed again.
        """
        with self.state.deploying():
            self._replace(run_id, "deploy")

    def rollback(self) -> str:
        """Deploys the model that was deployed before this one; returns its run id.

        Raises:
            DeploymentError: there is none; or as `deploy`.
        """
        with self.state.deploying():
            run_id = self._previous()
            self._replace(run_id, "rollback")
            return run_id

    def ensure(self, run_id: str) -> str:
        """Makes sure that a model is deployed: the one that was decided on, else the last.

        A decision is carried out once: whoever has deployed another model since wants that one,
        until the decision itself changes.

        Args:
            run_id: `Settings.run_id`; empty when people have not decided.

        Returns:
            The run id that is deployed.

        Raises:
            DeploymentError: nothing was decided on and nothing was ever deployed.
        """
        record = self.state.record()
        if run_id and (record is None or not self._was_carried_out(run_id)):
            with self.state.deploying():
                self._replace(run_id, "follow")
            return run_id
        if record is None:
            raise DeploymentError(
                f"no model is chosen: pick a run at {self._mlflow} and copy its id into RUN_ID "
                "in the environment's file (.env.<env>), or run: make deploy RUN_ID=..."
            )
        self.check(record.run_id)
        return record.run_id

    def check(self, run_id: str) -> None:
        """Makes sure that a model could be served: known, finished, whole, of this contract.

        Raises:
            ModelError: says what is wrong with it.
        """
        check_contract(self._registry.load(run_id), Contract.load(self._contract_path))

    def _was_carried_out(self, run_id: str) -> bool:
        """Whether a decision has been in service since the last one was followed."""
        record = self.state.record()
        if record is not None and record.run_id == run_id:
            return True
        for entry in reversed(self.state.history()):
            if not entry.succeeded:
                continue
            if entry.to_run_id == run_id:
                return True
            if entry.action == "follow":
                break
        return False

    def _previous(self) -> str:
        """The model before the present one, skipping what was itself rolled back from."""
        stack = self.state.came_into_service()
        record = self.state.record()
        if stack and record is not None and record.run_id != stack[-1]:
            # A deploy that was killed half-way: before it there was what the history says.
            return stack[-1]
        if len(stack) < 2:  # noqa: PLR2004 - the present one and one before
            raise DeploymentError("there is no earlier deployment to go back to")
        return stack[-2]

    def _replace(self, run_id: str, action: Action) -> None:
        self.state.history()  # one that cannot be added to is told of while nothing has changed
        old = self.state.record()
        old_run_id = old.run_id if old else None
        by = self._by or getpass.getuser()

        def note(result: str) -> None:
            self.state.add_to_history(
                HistoryEntry(
                    at=datetime.now(UTC),
                    by=by,
                    action=action,
                    from_run_id=old_run_id,
                    to_run_id=run_id,
                    result=result,
                )
            )

        try:
            self.check(run_id)
        except ModelError as error:
            note(f"refused: {error}")
            raise
        record = self.state.write_record(run_id, by)
        try:
            self._wait_for_workers(record)
        except BaseException as error:
            # Whatever ends the wait, Ctrl-C too: nobody has seen the new model work everywhere.
            if old is None:
                self.state.remove_record()
            else:
                self.state.write_record(old.run_id, old.deployed_by)
            note(f"taken back: {error or type(error).__name__}")
            raise
        note(DEPLOYED)

    def _wait_for_workers(self, record: Record) -> None:
        """Waits until every worker that lives serves the model; one that dies need not."""
        run_id = record.run_id
        deadline = time.monotonic() + _FOLLOW_SECONDS
        while True:
            statements = self.state.statements()
            for statement in statements:
                if statement.refused == record:
                    raise DeploymentError(
                        f"{statement.server} (worker {statement.worker}) cannot serve run "
                        f"{run_id}: {statement.reason}; the old model is deployed again"
                    )
            waiting = [s for s in statements if s.run_id != run_id]
            if not waiting:
                return
            if time.monotonic() > deadline:
                names = ", ".join(f"{s.server} (worker {s.worker})" for s in waiting)
                raise DeploymentError(
                    f"{names} did not follow within {_FOLLOW_SECONDS:g} s; "
                    "the old model is deployed again"
                )
            time.sleep(0.1)


def check_contract(model: Model, contract: Contract) -> None:
    """Makes sure that a model was trained with the contract that requests follow.

    Raises:
        ModelError: they differ in something that decides an answer.
    """
    if model.contract.digest != contract.digest:
        raise ModelError(
            f"run {model.run_id} was trained with another contract ({model.contract.name}) than "
            f"CONTRACT names ({contract.name}): set CONTRACT to its own, or train again"
        )
