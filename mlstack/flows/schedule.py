"""The schedule of a flow, and the settings that runs and their worker share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORK_POOL = "local"
"""Prefect work pool of all flow runs."""

HEARTBEAT_SECONDS = 30
"""Seconds between a run's heartbeats; Prefect allows nothing shorter."""

ROOT_VARIABLE = "MLSTACK_ROOT"
"""Variable of the worker that names the project's folder, which may be renamed."""

RUN_VARIABLES = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""Environment of every flow run: without it a run would be marked as crashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSchedule:
    """A flow with its period and parameters: what Prefect calls a deployment.

    Only one run is active at a time: a run due during another one is cancelled.
    """

    flow: str
    """Name of the flow and of its only schedule."""

    entrypoint: str
    """File, relative to the project root, and function: `package/module.py:function`."""

    parameters: Mapping[str, Any]
    """JSON arguments of the flow's function."""

    every_minutes: int
    """Period."""

    description: str
    """Shown in the Prefect UI: the flow's input and output."""

    note: str = ""
    """Printed next to the period when the schedule is applied."""

    apply_target: str
    """Make target that applies the schedule."""

    run_target: str
    """Make target that runs the flow now."""

    @property
    def prefect_name(self) -> str:
        """The schedule's name in Prefect."""
        return f"{self.flow}/{self.flow}"
