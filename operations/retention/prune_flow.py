"""Define the retention flow and its schedule, and the command that applies it.

Usage: python -m operations.retention.prune_flow apply
"""

from prefect import flow, get_run_logger

from mlstack import command_line
from mlstack.flows.command import schedule_command
from mlstack.flows.schedule import FlowSchedule
from mlstack.settings import Settings

FLOW = "retention"


@flow(name=FLOW)
def retention() -> None:
    """Remove data beyond the retention periods in the settings."""
    # Applying the schedule does not need MLflow, which takes seconds to import.
    from operations.retention.prune import prune  # noqa: PLC0415 - see above

    prune(Settings.load(), get_run_logger().info)


def retention_schedule() -> FlowSchedule:
    """Describe the schedule; raise SettingsError if a setting has an invalid value."""
    return FlowSchedule(
        flow=FLOW,
        entrypoint=f"operations/retention/prune_flow.py:{FLOW}",
        parameters={},
        every_minutes=Settings.load().prune_every_minutes,
        description="Removes runs, models, predictions, reports and logs that are too old",
        apply_target="make setup-model-registry",
        run_target="make prune",
    )


if __name__ == "__main__":
    command_line.run(lambda: schedule_command(retention_schedule))
