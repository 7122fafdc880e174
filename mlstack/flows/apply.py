"""Makes Prefect know a flow: work pool, deployment with its schedule, crash detection.

What is there already and right is left alone, so that it can be repeated.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.objects import (
    ConcurrencyLimitStrategy,
    ConcurrencyOptions,
    StateType,
)
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import (
    AutomationCore,
    EventTrigger,
    Posture,
)
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema_from_entrypoint

from mlstack.errors import MlstackError
from mlstack.flows.deployment import FlowDeployment
from mlstack.flows.prefect_api import prefect_client
from mlstack.flows.worker import HEARTBEAT_SECONDS, RUN_VARIABLES, WORK_POOL
from mlstack.settings import ROOT

_CRASH_AUTOMATION = "crash silent flow runs"
# A busy machine or a restart of the server may cost a heartbeat or two, not three.
_SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)


def apply_command(describe: Callable[[], FlowDeployment]) -> int:
    """Entry point of a target that applies a flow.

    Args:
        describe: Gives the flow's deployment; may raise an `MlstackError`.

    Returns:
        The exit code: 1 after an error, whose sentence was printed.
    """
    try:
        deployment = describe()
        with prefect_client() as client:
            changes = [
                (f"work pool {WORK_POOL}", _apply_work_pool(client)),
                (f"deployment {deployment.path}", _apply_deployment(client, deployment)),
                (f"automation '{_CRASH_AUTOMATION}'", _apply_automation(client)),
            ]
    except MlstackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command's answer
        return 1
    for what, change in changes:
        print(f"{what}: {change}")  # noqa: T201 - this is a command's answer
    return 0


def _apply_work_pool(client: SyncPrefectClient) -> str:
    try:
        client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        return "made"
    return "unchanged"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What decides on a deployment: equal ones need no change."""

    entrypoint: str | None
    pull_steps: list[dict[str, Any]] | None
    job_variables: dict[str, Any]
    parameters: Mapping[str, Any]
    parameter_schema: dict[str, Any] | None
    work_pool: str | None
    intervals: list[timedelta]
    limit: int | None
    on_collision: ConcurrencyOptions | None

    @classmethod
    def of(cls, there: DeploymentResponse) -> "_Wanted":
        limit = there.global_concurrency_limit
        return cls(
            entrypoint=there.entrypoint,
            pull_steps=there.pull_steps,
            job_variables=there.job_variables,
            parameters=there.parameters,
            parameter_schema=there.parameter_openapi_schema,
            work_pool=there.work_pool_name,
            intervals=[
                schedule.schedule.interval
                for schedule in there.schedules
                if schedule.active and isinstance(schedule.schedule, IntervalSchedule)
            ],
            limit=limit.limit if limit else None,
            on_collision=there.concurrency_options,
        )


def _apply_deployment(client: SyncPrefectClient, deployment: FlowDeployment) -> str:
    wanted = _Wanted(
        entrypoint=deployment.entrypoint,
        # The worker may have been started anywhere, and modules are found from the root.
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}],
        job_variables={"env": RUN_VARIABLES},
        parameters=deployment.parameters,
        parameter_schema=parameter_schema_from_entrypoint(
            str(ROOT / deployment.entrypoint)
        ).model_dump_for_openapi(),
        work_pool=WORK_POOL,
        intervals=[timedelta(minutes=deployment.every_minutes)],
        limit=1,
        # A run that comes due while one is going has nothing to add to it.
        on_collision=ConcurrencyOptions(collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
    )
    try:
        there = client.read_deployment_by_name(deployment.path)
    except ObjectNotFound:
        there = None
    summary = ", ".join(filter(None, (f"every {deployment.every_minutes} min", deployment.remark)))
    if there is not None and _Wanted.of(there) == wanted:
        return f"unchanged ({summary})"
    client.create_deployment(
        flow_id=client.create_flow_from_name(deployment.flow),
        name=deployment.flow,
        entrypoint=wanted.entrypoint,
        pull_steps=wanted.pull_steps,
        job_variables=wanted.job_variables,
        parameters=dict(wanted.parameters),
        parameter_openapi_schema=wanted.parameter_schema,
        work_pool_name=wanted.work_pool,
        schedules=[
            DeploymentScheduleCreate(schedule=IntervalSchedule(interval=interval))
            for interval in wanted.intervals
        ],
        concurrency_limit=wanted.limit,
        concurrency_options=wanted.on_collision,
        description=deployment.description,
    )
    return f"{'changed' if there else 'made'} ({summary})"


def _apply_automation(client: SyncPrefectClient) -> str:
    """A run whose process died would be Running for ever and keep the next ones out."""
    wanted = AutomationCore(
        name=_CRASH_AUTOMATION,
        description="Marks flow runs as Crashed whose process has stopped sending heartbeats.",
        trigger=EventTrigger(
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            # Pending too: the process may die before its first heartbeat.
            after={"prefect.flow-run.heartbeat", "prefect.flow-run.Pending"},
            expect={
                "prefect.flow-run.heartbeat",
                "prefect.flow-run.Completed",
                "prefect.flow-run.Failed",
                "prefect.flow-run.Cancelled",
                "prefect.flow-run.Crashed",
            },
            posture=Posture.Proactive,
            threshold=1,
            within=_SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                name="Crashed",
                force=False,
                message=f"No heartbeat for {_SILENCE.seconds} s: its process has died.",
            )
        ],
    )
    there = client.read_automations_by_name(_CRASH_AUTOMATION)
    if not there:
        client.create_automation(wanted)
        return "made"
    if _comparable(there[0]) == _comparable(wanted):
        return "unchanged"
    client.update_automation(there[0].id, wanted)
    return "changed"


def _comparable(automation: AutomationCore) -> dict[str, Any]:
    document = automation.model_dump(include={"description", "enabled", "actions"})
    # The server gives the trigger an id of its own.
    return document | {"trigger": automation.trigger.model_dump(exclude={"id"})}
