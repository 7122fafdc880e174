"""The command of a flow's schedule: `apply` it, or `run` the flow now."""

from argparse import ArgumentParser
from collections.abc import Callable

from prefect.client.schemas.objects import FlowRun

from mlstack.command_line import say
from mlstack.flows.apply import apply_schedules
from mlstack.flows.prefect_api import prefect_client, run_address
from mlstack.flows.run import begin, follow
from mlstack.flows.schedule import FlowSchedule


def schedule_command(
    describe: Callable[[], FlowSchedule],
    show_result: Callable[[FlowRun], None] | None = None,
    arguments: list[str] | None = None,
) -> int:
    """Run the command `apply` or `run` and return its exit code.

    The code is 130 if the user stops following the run, which continues; otherwise 0.

    Args:
        describe: Returns the flow's schedule.
        show_result: Called with the completed run.
        arguments: `["apply"]` or `["run"]`; None means those of the process.

    Raises:
        MlstackError: Prefect cannot be reached or rejects a request, or the run failed.
    """
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["apply", "run"])
    action = parser.parse_args(arguments).action
    schedule = describe()
    with prefect_client() as client:
        if action == "apply":
            apply_schedules(client, schedule)
            return 0
        run = begin(client, schedule)
        try:
            run = follow(client, schedule, run)
        except KeyboardInterrupt:
            say(f"stopped following; the run continues: {run_address(run.id)}")
            say(f"{schedule.run_target} follows it again")
            return 130
    if show_result is not None:
        show_result(run)
    return 0
