"""Deploy models, roll back, and show what is deployed.

Usage: python -m server.deploy to RUN_ID|ensure|rollback|current|history
"""

import argparse
import signal
from collections.abc import Sequence
from types import FrameType

from mlstack.command_line import argument_parser, columns, run, say
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import HistoryEntry
from mlstack.errors import DeploymentError
from mlstack.model.mlflow_api import find_run_id, shorten_timeouts
from mlstack.model.model_store import ModelStore
from mlstack.run_ids import read_run
from mlstack.settings import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and print what it did."""
    parser = argument_parser("server.deploy", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    to = commands.add_parser("to", help="deploy the model of an MLflow run")
    to.add_argument("run_id")
    commands.add_parser(
        "ensure", help="deploy RUN_ID if it has changed, otherwise check the deployed model"
    )
    commands.add_parser("rollback", help="deploy the previous model again")
    commands.add_parser("current", help="print the deployed run id, or nothing")
    commands.add_parser("history", help="list all deployments")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Unlike the signal itself, an exception lets a deploy restore the old model.
        signal.signal(number, _stop)
    shorten_timeouts()
    if answer := _carry_out(options, Settings.load()):
        say(answer)


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _carry_out(options: argparse.Namespace, settings: Settings) -> str:
    deployer = Deployer(settings, ModelStore.of(settings))
    match options.command:
        case "to":
            try:
                run_id = find_run_id(read_run(options.run_id))
            except ValueError as error:
                raise DeploymentError(str(error)) from error
            deployer.deploy(run_id)
            return _with_machines(f"run {run_id} is deployed", deployer)
        case "ensure":
            return _ensure(deployer, find_run_id(settings.run_id) if settings.run_id else "")
        case "rollback":
            said = f"rolled back: run {deployer.rollback()} is deployed"
            return _with_machines(said, deployer)
        case "current":
            record = deployer.state.record()
            return record.run_id if record else ""
        case _:
            return _table(deployer.state.history())


def _ensure(deployer: Deployer, chosen: str) -> str:
    run_id = deployer.ensure(chosen)
    record = deployer.state.record()
    if chosen in ("", run_id) or record is None:
        return _with_machines(f"run {run_id} is deployed", deployer)
    return (
        f"run {run_id} is still deployed (by {record.deployed_by}, since "
        f"{record.deployed_at:%Y-%m-%d %H:%M} UTC); RUN_ID of the environment's file ({chosen}) "
        f"was deployed earlier; to change to it: make deploy RUN_ID={chosen}"
    )


def _with_machines(said: str, deployer: Deployer) -> str:
    return "\n".join(filter(None, (said, deployer.state.reached())))


def _table(history: Sequence[HistoryEntry]) -> str:
    if not history:
        return "nothing has been deployed yet"
    header = ("when (UTC)", "what", "from run", "to run", "by", "result")
    rows = [
        (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.action,
            entry.from_run_id or "-",
            entry.to_run_id,
            entry.by,
            entry.result,
        )
        for entry in history
    ]
    return "\n".join(columns((header, *rows)))


if __name__ == "__main__":
    run(main)
