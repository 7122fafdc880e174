"""Shared runtime of both simulators: command line, logging, shutdown, batches."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mlstack import command_line, heartbeat
from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.settings import Settings
from mlstack.waiting import Stop, Stopped, run_until_stopped
from simulation_business.business import Business
from simulation_business.options import Options, parse_options

log = logging.getLogger(__name__)

# With the other shutdown steps this stays under the ten seconds that Docker and supervisord allow.
_GRACE_SECONDS = 4.0


class Simulator(Protocol):
    """Sends customers to one of the servers."""

    def send(self, customers: Sequence[Customer]) -> None:
        """Send a batch."""

    def between(self) -> float:
        """Do periodic work between batches; return the seconds until the next call."""

    def finish(self) -> bool:
        """Wait for the last batch; return whether every customer got a response."""

    def close(self) -> None:
        """Close connections."""


Build = Callable[[Settings, Contract, Options, Stop], Simulator]


def main(name: str, description: str, build: Build, arguments: Sequence[str] | None = None) -> int:
    """Run a simulator; return 1 if `--once` left customers unanswered, else 0.

    Args:
        name: Name of the heartbeat.
        description: Text for `--help`.
        build: Creates the simulator.
        arguments: The command line; None means that of the process.
    """
    options = parse_options(description, arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    heartbeat_file = heartbeat.simulator(name, settings)
    stop = Stop(beat=heartbeat_file.beat)
    try:
        complete = run_until_stopped(
            lambda: _simulate(settings, options, stop, build), stop, _GRACE_SECONDS
        )
    finally:
        heartbeat_file.remove()
    log.info("shut down cleanly" if stop.requested else "done")
    return 0 if complete or not options.once else 1


def run(name: str, description: str, build: Build) -> None:
    """Run `main` as the entry point of the process."""
    command_line.run(lambda: main(name, description, build), f"{name}: ")


def _simulate(settings: Settings, options: Options, stop: Stop, build: Build) -> bool:
    """Simulate until the stop request; with `--once`, return whether all succeeded."""
    stop.beat()
    contract = Contract.load(settings.contract_path)
    business = Business(contract, settings, options, stop)
    simulator = build(settings, contract, options, stop)
    log.info(
        "customers of %s: %g a minute on average, seed %d, drift %s",
        *(contract.name, options.rate, options.seed, options.drift or "none"),
    )
    try:
        if options.once:
            simulator.send(business.average_batch())
            return simulator.finish()
        _send_batches(business, simulator, stop, settings.simulation_seconds)
    except Stopped:
        return False
    finally:
        simulator.close()
    return True


def _send_batches(business: Business, simulator: Simulator, stop: Stop, seconds: float) -> None:
    """Send each batch when it is due; batches missed in an outage are not sent later."""
    due_at = time.monotonic()
    while not stop.requested:
        simulator.send(business.next_batch())
        due_at = max(due_at + seconds, time.monotonic())
        while not stop.requested and (left := due_at - time.monotonic()) > 0:
            stop.wait(min(left, simulator.between()))
