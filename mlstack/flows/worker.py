"""What flow runs and the worker that takes them up have to agree on."""

WORK_POOL = "local"
"""Prefect's work pool that all flow runs are taken from."""

HEARTBEAT_SECONDS = 30
"""How often a run says that it is alive; Prefect takes nothing shorter."""

RUN_VARIABLES = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS)}
"""Environment variables of every flow run: one without them would be taken for dead."""
