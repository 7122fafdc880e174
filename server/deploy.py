"""Deploys models: `python -m server.deploy to RUN_ID | ensure | rollback | current | history`."""

import argparse
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import HistoryEntry
from mlstack.errors import DeploymentError, MlstackError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.model.model_store import ModelStore
from mlstack.settings import NO_RUN_ID, Settings, is_run_id


def main(arguments: Sequence[str] | None = None) -> int:
    """Carries out one command; a failure is one sentence and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m server.deploy", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    to = commands.add_parser("to", help="deploy the model of an MLflow run")
    to.add_argument("run_id")
    commands.add_parser(
        "ensure", help="deploy RUN_ID if it is a new decision, else confirm what was deployed last"
    )
    commands.add_parser("rollback", help="deploy what was deployed before")
    commands.add_parser("current", help="print the run id that is deployed; nothing when none is")
    commands.add_parser("history", help="list all deployments")
    options = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # An exception, unlike the signal itself, lets a deploy put the old model back.
        signal.signal(number, _stop)
    shorten_timeouts()
    try:
        if answer := _carry_out(options, Settings.load()):
            print(answer)  # noqa: T201
    except MlstackError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


def _stop(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _carry_out(options: argparse.Namespace, settings: Settings) -> str:
    deployer = Deployer(settings, ModelStore.of(settings))
    match options.command:
        case "to":
            deployer.deploy(_checked(options.run_id))
            return f"run {options.run_id} is deployed"
        case "ensure":
            return _ensured(deployer, settings.run_id)
        case "rollback":
            return f"rolled back: run {deployer.rollback()} is deployed"
        case "current":
            record = deployer.state.record()
            return record.run_id if record else ""
        case _:
            return _table(deployer.state.history())


def _ensured(deployer: Deployer, decided: str) -> str:
    run_id = deployer.ensure(decided)
    record = deployer.state.record()
    if decided in ("", run_id) or record is None:
        return f"run {run_id} is deployed"
    return (
        f"run {run_id} is deployed and stays, by {record.deployed_by} since "
        f"{record.deployed_at:%Y-%m-%d %H:%M} UTC: RUN_ID of the environment's file ({decided}) "
        f"was deployed before that; to go over to it: make deploy RUN_ID={decided}"
    )


def _checked(run_id: str) -> str:
    if not is_run_id(run_id):
        raise DeploymentError(f"{run_id!r} {NO_RUN_ID}")
    return run_id


def _table(history: Sequence[HistoryEntry]) -> str:
    if not history:
        return "nothing was deployed yet"
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
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    )


if __name__ == "__main__":
    sys.exit(main())
