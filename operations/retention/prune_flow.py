"""The pruning flow; Prefect runs it on a schedule."""

from prefect import flow, get_run_logger

from mlstack.settings import Settings
from operations.retention.deployment import FLOW
from operations.retention.prune import prune


@flow(name=FLOW)
def retention() -> None:
    """Removes what is older than the settings keep it."""
    prune(Settings.load(), get_run_logger().info)
