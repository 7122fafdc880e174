"""How a flow is scheduled, and what flow runs and the worker that executes them agree on."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WORK_POOL = "local"
"""Prefect work pool of all flow runs."""

HEARTBEAT_SECONDS = 30
"""Period of a run's heartbeats; Prefect allows nothing shorter."""

RUN_VARIABLES = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""Environment of every flow run: a run without it would be marked as crashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSchedule:
    """A flow with its period and parameters: what Prefect calls a deployment.

    Only one run at a time: a run that comes due during another one is cancelled.
    """

    flow: str
    """Name of the flow, and of its only schedule."""

    entrypoint: str
    """File, relative to the project's root, and function: `package/module.py:function`."""

    parameters: Mapping[str, Any]
    """JSON arguments of the flow's function."""

    every_minutes: int
    """Period."""

    description: str
    """Shown on Prefect's pages: input and output of the flow."""

    note: str = ""
    """Printed beside the period when the schedule is applied."""

    apply_target: str
    """The make target that applies the schedule."""

    run_target: str
    """The make target that runs the flow now."""

    @property
    def prefect_name(self) -> str:
        """The name that Prefect finds the schedule by."""
        return f"{self.flow}/{self.flow}"
