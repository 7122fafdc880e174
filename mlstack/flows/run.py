"""Runs a flow now, or follows the run that is going on, to its end."""

import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    LogFilter,
    LogFilterFlowRunId,
    LogFilterLevel,
    LogFilterTimestamp,
)
from prefect.client.schemas.objects import FlowRun, Log, StateType, WorkerStatus
from prefect.client.schemas.sorting import FlowRunSort, LogSort
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from mlstack.errors import MlstackError
from mlstack.flows.deployment import FlowDeployment
from mlstack.flows.prefect_api import PrefectError, prefect_client, run_address
from mlstack.flows.worker import WORK_POOL

_POLL_SECONDS = 1.0
_GOING_ON = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_INFO = 20
_LOG_PAGE = 200
_STEP_ENDED = "Finished in state Completed()"
# Lines of the last moments come in batches, some after the state.
_LAST_LINES_POLLS = 3
# A line is sent to the server up to some seconds after the moment that it carries.
_LOG_DELAY = timedelta(seconds=30)
# As long as a restart of the server takes, with time to spare.
_PATIENCE_SECONDS = 120


class RunFailed(MlstackError):
    """A flow run did not end as it should."""


def run_command(
    describe: Callable[[], FlowDeployment], show_result: Callable[[FlowRun], None]
) -> int:
    """Entry point of a target that runs a flow now.

    Args:
        describe: Gives the flow's deployment; may raise an `MlstackError`.
        show_result: Is given the run that has completed; may raise an `MlstackError`.

    Returns:
        The exit code: 1 after an error, whose sentence was printed; 130 when a person has
        stopped following the run, which goes on.
    """
    try:
        deployment = describe()
        with prefect_client() as client:
            run = _going_on(client, deployment) or _start(client, deployment)
            try:
                run = _follow(client, deployment, run)
            except KeyboardInterrupt:
                say(f"no longer followed, but it goes on: {run_address(run.id)}")
                say(f"{deployment.run_target} follows it again")
                return 130
        show_result(run)
    except MlstackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command's answer
        return 1
    return 0


def require_runnable(describe: Callable[[], FlowDeployment]) -> None:
    """Makes sure that a flow can be run now.

    Args:
        describe: Gives the flow's deployment; may raise an `MlstackError`.

    Raises:
        PrefectError: Prefect does not know it or is not there, or nobody would take a run up.
    """
    deployment = describe()
    with prefect_client() as client:
        _id(client, deployment)
        _require_worker(client)


def say(line: str) -> None:
    """Shows a line of a command's answer at once."""
    print(line, flush=True)  # noqa: T201 - this is a command's answer


def _going_on(client: SyncPrefectClient, deployment: FlowDeployment) -> FlowRun | None:
    """The run that keeps others out at the moment."""
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[_id(client, deployment)])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_GOING_ON))
        ),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    if not runs:
        return None
    say(f"following the run that is going on: {runs[0].name}, {run_address(runs[0].id)}")
    return runs[0]


def _start(client: SyncPrefectClient, deployment: FlowDeployment) -> FlowRun:
    _require_worker(client)
    run = client.create_flow_run_from_deployment(
        _id(client, deployment), parameters=dict(deployment.parameters)
    )
    say(f"started: {run.name}, {run_address(run.id)}")
    return run


def _id(client: SyncPrefectClient, deployment: FlowDeployment) -> UUID:
    try:
        return client.read_deployment_by_name(deployment.path).id
    except ObjectNotFound as error:
        raise PrefectError(
            f"Prefect does not know {deployment.flow} yet; run: {deployment.apply_target}"
        ) from error


def _require_worker(client: SyncPrefectClient) -> None:
    workers = client.read_workers_for_work_pool(WORK_POOL)
    if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
        raise PrefectError(
            f"no worker is online in work pool {WORK_POOL}: nothing would run; "
            "start it with: make setup-model-registry"
        )


def _follow(client: SyncPrefectClient, deployment: FlowDeployment, run: FlowRun) -> FlowRun:
    """Shows a run's log until it ends.

    Returns:
        The run that ended well: the given one, or the one that had kept it out.

    Raises:
        RunFailed: it failed, crashed or was cancelled.
        PrefectError: nobody takes the run up, or the server is gone for too long.
    """
    log = _LogReader(run.id)
    last_answer = time.monotonic()
    while True:
        try:
            run = client.read_flow_run(run.id)
            log.show_new(client)
            if run.state is not None and run.state.is_scheduled():
                _withdraw_without_worker(client, run)
            last_answer = time.monotonic()
        except httpx.TransportError:
            if time.monotonic() - last_answer > _PATIENCE_SECONDS:
                raise
        if run.state is not None and run.state.is_final():
            break
        time.sleep(_POLL_SECONDS)
    if run.state.is_completed():
        log.show_rest(client)
        return run
    if run.state.is_cancelled() and run.start_time is None:
        other = _going_on(client, deployment)
        if other is not None:
            return _follow(client, deployment, other)
    log.show_rest(client)
    reason = run.state.message or "no reason is known"
    raise RunFailed(f"{run.name} is {run.state.name}: {reason}\n{run_address(run.id)}")


def _withdraw_without_worker(client: SyncPrefectClient, run: FlowRun) -> None:
    """Takes back a run that nobody takes up: it would come as a surprise later."""
    try:
        _require_worker(client)
    except PrefectError:
        client.set_flow_run_state(run.id, Cancelled(message="No worker was online."), force=True)
        raise


class _LogReader:
    """Shows each line of a run's log once, while it comes in."""

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
        self._shown: set[UUID] = set()
        self._newest: datetime | None = None

    def show_new(self, client: SyncPrefectClient) -> bool:
        """Shows what is new; returns whether anything was."""
        lines = [line for line in self._read(client) if line.id not in self._shown]
        for line in lines:
            self._shown.add(line.id)
            if line.message != _STEP_ENDED:
                # A stack trace is for Prefect's own pages.
                first, *_ = line.message.splitlines() or [""]
                say(f"{line.timestamp.astimezone():%H:%M:%S} {first}")
            self._newest = max(self._newest or line.timestamp, line.timestamp)
        return bool(lines)

    def show_rest(self, client: SyncPrefectClient) -> None:
        """Shows the last lines, which may come in after the run's end."""
        for _ in range(_LAST_LINES_POLLS):
            time.sleep(_POLL_SECONDS)
            self.show_new(client)

    def _read(self, client: SyncPrefectClient) -> Iterator[Log]:
        since = self._newest and self._newest - _LOG_DELAY
        wanted = LogFilter(
            flow_run_id=LogFilterFlowRunId(any_=[self._run_id]),
            level=LogFilterLevel(ge_=_INFO),
            timestamp=LogFilterTimestamp.model_validate({"after_": since}),
        )
        offset = 0
        while page := client.read_logs(wanted, _LOG_PAGE, offset, LogSort.TIMESTAMP_ASC):
            yield from page
            offset += len(page)
