"""How the pruning flow is deployed."""

from mlstack.flows.deployment import FlowDeployment
from mlstack.settings import Settings

FLOW = "retention"


def retention_flow() -> FlowDeployment:
    """The pruning flow as the settings have it.

    Raises:
        SettingsError: a setting has no usable value.
    """
    settings = Settings.load()
    return FlowDeployment(
        flow=FLOW,
        entrypoint=f"operations/retention/prune_flow.py:{FLOW}",
        parameters={},
        every_minutes=settings.prune_every_minutes,
        description="Removes runs, models, predictions, reports and logs that are too old",
        apply_target="make setup-model-registry",
        run_target="make prune",
    )
