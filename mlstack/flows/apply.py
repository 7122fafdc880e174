"""Apply schedules of flows to Prefect: work pool, deployment, crash detection.

Only differences are changed, so it can be repeated.
"""

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

from mlstack.command_line import say
from mlstack.flows.schedule import (
    HEARTBEAT_SECONDS,
    ROOT_VARIABLE,
    RUN_VARIABLES,
    WORK_POOL,
    FlowSchedule,
)
from mlstack.settings import ROOT

_CRASH_AUTOMATION = "crash silent flow runs"
# A busy machine or a server restart may cost one or two heartbeats, not three.
_SILENCE = timedelta(seconds=3 * HEARTBEAT_SECONDS)


def apply_schedules(client: SyncPrefectClient, *schedules: FlowSchedule) -> None:
    """Make Prefect's state match the schedules, and print the changes."""
    say(f"work pool {WORK_POOL}: {_apply_work_pool(client)}")
    for schedule in schedules:
        say(f"schedule {schedule.prefect_name}: {_apply_deployment(client, schedule)}")
    say(f"automation '{_CRASH_AUTOMATION}': {_apply_automation(client)}")


def _apply_work_pool(client: SyncPrefectClient) -> str:
    try:
        client.read_work_pool(WORK_POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        return "created"
    return "unchanged"


def _apply_deployment(client: SyncPrefectClient, schedule: FlowSchedule) -> str:
    interval = timedelta(minutes=schedule.every_minutes)
    wanted: dict[str, Any] = {
        "entrypoint": schedule.entrypoint,
        # The worker may run in any folder, and modules are found from the root.
        "pull_steps": [
            {
                "prefect.deployments.steps.set_working_directory": {
                    "directory": f"{{{{ ${ROOT_VARIABLE} }}}}"
                }
            }
        ],
        "job_variables": {"env": RUN_VARIABLES},
        "parameters": dict(schedule.parameters),
        "parameter_openapi_schema": parameter_schema_from_entrypoint(
            str(ROOT / schedule.entrypoint)
        ).model_dump_for_openapi(),
        "work_pool_name": WORK_POOL,
        # A run due during another run would find nothing new.
        "concurrency_options": ConcurrencyOptions(
            collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW
        ),
    }
    try:
        existing = client.read_deployment_by_name(schedule.prefect_name)
    except ObjectNotFound:
        existing = None
    summary = ", ".join(filter(None, (f"every {schedule.every_minutes} min", schedule.note)))
    if (
        existing is not None
        and all(getattr(existing, name) == value for name, value in wanted.items())
        and _active_intervals(existing) == [interval]
        and existing.global_concurrency_limit is not None
        and existing.global_concurrency_limit.limit == 1
    ):
        return f"unchanged ({summary})"
    client.create_deployment(
        flow_id=client.create_flow_from_name(schedule.flow),
        name=schedule.flow,
        schedules=[DeploymentScheduleCreate(schedule=IntervalSchedule(interval=interval))],
        concurrency_limit=1,
        description=schedule.description,
        **wanted,
    )
    return f"{'changed' if existing else 'created'} ({summary})"


def _active_intervals(deployment: DeploymentResponse) -> list[timedelta]:
    return [
        each.schedule.interval
        for each in deployment.schedules
        if each.active and isinstance(each.schedule, IntervalSchedule)
    ]


def _apply_automation(client: SyncPrefectClient) -> str:
    """Mark runs whose process died: they would stay Running and block later runs."""
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
                message=f"No heartbeat for {_SILENCE.seconds} s: the process has died.",
            )
        ],
    )
    existing = client.read_automations_by_name(_CRASH_AUTOMATION)
    if not existing:
        client.create_automation(wanted)
        return "created"
    if _comparable(existing[0]) == _comparable(wanted):
        return "unchanged"
    client.update_automation(existing[0].id, wanted)
    return "changed"


def _comparable(automation: AutomationCore) -> dict[str, Any]:
    document = automation.model_dump(include={"description", "enabled", "actions"})
    # The server adds an id to the trigger.
    return document | {"trigger": automation.trigger.model_dump(exclude={"id"})}
