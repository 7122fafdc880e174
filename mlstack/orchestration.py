"""What the training flow and those who run it have to agree on."""

WORK_POOL = "local"
"""Prefect's work pool that training runs are taken from."""

HEARTBEAT_SECONDS = 30
"""How often a run says that it is alive; Prefect takes nothing shorter."""
