"""The pruning flow; Prefect runs it on a schedule."""

from prefect import flow, get_run_logger

from mlstack.settings import Settings
from retention.deployment import FLOW
from retention.prune import prune


@flow(name=FLOW)
def retention() -> None:
    """Removes what is older than the settings keep it."""
    prune(Settings.load(), get_run_logger().info)
