"""Deploy models: check, replace the record, and wait for all workers."""

from contextlib import suppress
from datetime import UTC, datetime

from mlstack.caller_environment import user_name
from mlstack.contract import Contract
from mlstack.deployment.record import (
    DEPLOYED,
    Action,
    DeploymentState,
    HistoryEntry,
    Record,
    Statement,
)
from mlstack.errors import DeploymentError, ModelError, Overtaken, RecordUnavailable
from mlstack.model.model_store import ModelStore
from mlstack.settings import Settings
from mlstack.waiting import Unavailable, wait_until

_FOLLOW_SECONDS = 60.0
"""Time limit for the workers to load a new model."""

_RETURN_SECONDS = 10.0
"""How long a failed deploy waits for the workers to load the old one."""


class Deployer:
    """Deploys models."""

    def __init__(self, settings: Settings, models: ModelStore) -> None:
        self._contract_path = settings.contract_path
        self._models = models
        self._mlflow = settings.mlflow_url
        self._by = settings.deployed_by
        self.state = _state(settings)

    def deploy(self, run_id: str) -> None:
        """Deploy a run's model: check it, replace the record, wait for all workers.

        If no worker runs, only the record is replaced; workers read it when they start.

        Raises:
            ModelError: the model is unknown or fails its checks; nothing was changed.
            DeploymentError: another deployment is in progress; or a worker could not load the model
                and the old model was restored; or S3 failed, and the message says what is known.
        """
        with self.state.lock():
            self._replace(run_id, "deploy")

    def rollback(self) -> str:
        """Deploy the model that was deployed before this one; return its run id.

        Raises DeploymentError if there is none, or as `deploy`.
        """
        with self.state.lock():
            run_id = self._previous_run()
            self._replace(run_id, "rollback")
            return run_id

    def ensure(self, run_id: str) -> str:
        """Ensure that a model is deployed, and return its run id.

        A chosen run (`run_id` is not empty) is deployed once: a model that is deployed after it
        stays until the choice itself changes. Without a choice, the deployed model stays.

        Raises DeploymentError if no model is chosen and none was ever deployed.
        """
        record = self.state.record()
        if run_id and not self._was_deployed(run_id, record):
            with self.state.lock():
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
        """Check that a model can be served: known, finished, intact, of this contract.

        Raises ModelError with what is wrong.
        """
        self._models.load(run_id).follow_contract(Contract.load(self._contract_path))

    def _was_deployed(self, run_id: str, record: Record | None) -> bool:
        """Whether a run is deployed now, or was since the last `follow`; never without a record."""
        if record is None:
            return False
        if record.run_id == run_id:
            return True
        for entry in reversed(self.state.history()):
            if not entry.succeeded:
                continue
            if entry.to_run_id == run_id:
                return True
            if entry.action == "follow":
                break
        return False

    def _previous_run(self) -> str:
        """Return the previous run, without runs that were rolled back."""
        runs = self.state.deployed_runs()
        record = self.state.record()
        if runs and record is not None and record.run_id != runs[-1]:
            # A deploy was killed halfway: the history's last run was deployed before it.
            return runs[-1]
        if len(runs) < 2:  # noqa: PLR2004 - the present one and one before
            raise DeploymentError("there is no earlier deployment to roll back to")
        return runs[-2]

    def _replace(self, run_id: str, action: Action) -> None:
        self.state.history()  # raises before anything changes if it cannot be extended
        old = self.state.record()
        by = self._by or user_name()

        def note(result: str) -> None:
            self.state.add_to_history(
                HistoryEntry(
                    at=datetime.now(UTC),
                    by=by,
                    action=action,
                    from_run_id=old.run_id if old else None,
                    to_run_id=run_id,
                    result=result,
                )
            )

        try:
            self.check(run_id)
        except ModelError as error:
            note(f"rejected: {error}")
            raise
        try:
            record = self.state.write_record(run_id, by)
            self._wait_for_workers(record)
        except Overtaken:
            raise  # the record is no longer ours to change
        except BaseException as error:
            # Also on Ctrl-C: it is unknown whether the new model works everywhere.
            reason = str(error) or type(error).__name__
            try:
                self._put_back(old)
                note(f"rolled back: {reason}")
            except (Overtaken, RecordUnavailable) as lost:
                raise DeploymentError(
                    f"{reason}; the old record could not be put back either: {lost}. The record "
                    f"may now name run {run_id}, which machines that reach S3 will serve: once S3 "
                    "answers, check with make deployed and deploy again"
                ) from error
            if isinstance(error, DeploymentError):
                raise DeploymentError(f"{error}; the old model is deployed again") from error
            raise
        try:
            note(DEPLOYED)
        except RecordUnavailable as error:
            raise DeploymentError(
                f"all workers serve run {run_id}, but the history could not be written: {error}"
            ) from error

    def _put_back(self, old: Record | None) -> None:
        if old is None:
            self.state.remove_record()
        else:
            self.state.write_record(old.run_id, old.deployed_by)
            self._wait_for_return(old.run_id)

    def _wait_for_workers(self, record: Record) -> None:
        """Wait until all running workers serve the model, except those that die."""

        def behind() -> list[str]:
            try:
                statements = self.state.statements()
            except RecordUnavailable as error:
                return [f"workers that cannot be asked ({error})"]
            for statement in statements:
                if statement.refused == record:
                    raise DeploymentError(
                        f"{_worker(statement)} cannot serve run {record.run_id}: {statement.reason}"
                    )
            return [_worker(each) for each in statements if each.run_id != record.run_id]

        try:
            wait_until(
                lambda: not behind(),
                lambda: f"{', '.join(behind())} did not switch to the new model",
                _FOLLOW_SECONDS,
                every=0.1,
            )
        except Unavailable as error:
            raise DeploymentError(str(error)) from error

    def _wait_for_return(self, run_id: str) -> None:
        """Give workers that had switched the time to serve the old model again."""

        def have_returned() -> bool:
            return all(each.run_id == run_id for each in self.state.statements())

        # The deploy has failed anyway; slower workers will follow the record later.
        with suppress(Unavailable, RecordUnavailable):
            wait_until(have_returned, "", _RETURN_SECONDS, every=0.1)


def _state(settings: Settings) -> DeploymentState:
    if settings.deployment_record is None:
        return DeploymentState(settings.state_path)
    # boto3 takes half a second to import, and a single machine does not need it.
    from mlstack.deployment.shared_state import SharedState  # noqa: PLC0415 - see above

    return SharedState(settings.state_path, settings.deployment_record)


def _worker(statement: Statement) -> str:
    return f"{statement.server} (worker {statement.worker})"
