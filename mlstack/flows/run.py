"""Start a flow run, or find the active one, and follow it to its end."""

import time
from collections.abc import Iterator
from contextlib import suppress
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

from mlstack.command_line import say
from mlstack.errors import MlstackError
from mlstack.flows.prefect_api import PrefectError, prefect_client, run_address
from mlstack.flows.schedule import WORK_POOL, FlowSchedule
from mlstack.waiting import Unavailable, wait_until

_POLL_SECONDS = 1.0
_ACTIVE = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
_INFO = 20
_LOG_PAGE = 200
_STEP_ENDED = "Finished in state Completed()"
# Log lines arrive in batches, the last ones after the final state.
_LAST_LINE = "Finished in state "
_LAST_LINE_SECONDS = 3.0
_LAST_LINE_POLL_SECONDS = 0.2
_OF_FLOW = "prefect.flow_runs"
# A line may reach the server seconds after its timestamp.
_LOG_DELAY = timedelta(seconds=30)
# Longer than a restart of the server takes.
_UNREACHABLE_SECONDS = 120


class RunFailed(MlstackError):
    """A flow run failed, crashed or was cancelled."""


def require_runnable(schedule: FlowSchedule) -> None:
    """Check that the flow can run now.

    Raises PrefectError if the schedule is not applied, no worker is online, or Prefect does not
    answer.
    """
    with prefect_client() as client:
        _prefect_id(client, schedule)
        _require_worker(client)


def find_active_run(client: SyncPrefectClient, schedule: FlowSchedule) -> FlowRun | None:
    """Find the active run; no other run can start before it ends.

    Raises PrefectError if the schedule is not applied.
    """
    runs = client.read_flow_runs(
        deployment_filter=DeploymentFilter(
            id=DeploymentFilterId(any_=[_prefect_id(client, schedule)])
        ),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_ACTIVE))
        ),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    if not runs:
        return None
    say(f"following the active run: {runs[0].name}, {run_address(runs[0].id)}")
    return runs[0]


def begin(client: SyncPrefectClient, schedule: FlowSchedule) -> FlowRun:
    """Find the active run, or start one.

    Raises PrefectError if the schedule is not applied or no worker is online.
    """
    if run := find_active_run(client, schedule):
        return run
    _require_worker(client)
    run = client.create_flow_run_from_deployment(
        _prefect_id(client, schedule), parameters=dict(schedule.parameters)
    )
    say(f"started: {run.name}, {run_address(run.id)}")
    return run


def follow(client: SyncPrefectClient, schedule: FlowSchedule, run: FlowRun) -> FlowRun:
    """Print a run's log until it ends, and return the completed run.

    If the run was cancelled because another run is active, that run is followed and returned.

    Raises:
        RunFailed: it failed, crashed or was cancelled.
        PrefectError: no worker takes the run, or Prefect is unreachable for too long.
    """
    log = _LogReader(run.id)
    last_answer = time.monotonic()
    while True:
        try:
            run = client.read_flow_run(run.id)
            log.print_new(client)
            if run.state is not None and run.state.is_scheduled():
                _cancel_without_worker(client, run)
            last_answer = time.monotonic()
        except httpx.TransportError:
            if time.monotonic() - last_answer > _UNREACHABLE_SECONDS:
                raise
        if run.state is not None and run.state.is_final():
            break
        time.sleep(_POLL_SECONDS)
    if run.state.is_completed():
        log.print_rest(client)
        return run
    if run.state.is_cancelled() and run.start_time is None:
        other = find_active_run(client, schedule)
        if other is not None:
            return follow(client, schedule, other)
    log.print_rest(client)
    reason = run.state.message or "no reason was given"
    raise RunFailed(f"{run.name} is {run.state.name}: {reason}\n{run_address(run.id)}")


def _prefect_id(client: SyncPrefectClient, schedule: FlowSchedule) -> UUID:
    try:
        return client.read_deployment_by_name(schedule.prefect_name).id
    except ObjectNotFound as error:
        raise PrefectError(
            f"Prefect does not know {schedule.flow} yet; run: {schedule.apply_target}"
        ) from error


def _require_worker(client: SyncPrefectClient) -> None:
    workers = client.read_workers_for_work_pool(WORK_POOL)
    if not any(worker.status == WorkerStatus.ONLINE for worker in workers):
        raise PrefectError(
            f"no worker is online in work pool {WORK_POOL}: nothing would run; "
            "start it with: make setup-model-registry"
        )


def _cancel_without_worker(client: SyncPrefectClient, run: FlowRun) -> None:
    """Cancel a run that no worker takes, because it would start unexpectedly later."""
    try:
        _require_worker(client)
    except PrefectError:
        client.set_flow_run_state(run.id, Cancelled(message="No worker was online."), force=True)
        raise


class _LogReader:
    """Prints each line of a run's log once, as it arrives."""

    def __init__(self, run_id: UUID) -> None:
        self._run_id = run_id
        self._printed: set[UUID] = set()
        self._newest: datetime | None = None
        self._is_complete = False

    def print_new(self, client: SyncPrefectClient) -> None:
        """Print lines that were not printed yet."""
        for line in self._read(client):
            if line.id in self._printed:
                continue
            self._printed.add(line.id)
            if line.name == _OF_FLOW and line.message.startswith(_LAST_LINE):
                self._is_complete = True
            if line.message != _STEP_ENDED:
                # The rest, such as a stack trace, is in the Prefect UI.
                first, *_ = line.message.splitlines() or [""]
                say(f"{line.timestamp.astimezone():%H:%M:%S} {first}")
            self._newest = max(self._newest or line.timestamp, line.timestamp)

    def print_rest(self, client: SyncPrefectClient) -> None:
        """Print the last lines, which may arrive after the run's end.

        A run that crashed has no last line, so this waits only seconds for it.
        """

        def is_complete() -> bool:
            self.print_new(client)
            return self._is_complete

        with suppress(Unavailable):
            wait_until(
                is_complete, "no last line", _LAST_LINE_SECONDS, every=_LAST_LINE_POLL_SECONDS
            )

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
