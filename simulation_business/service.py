"""What both simulators run in: command line, log, order to stop, and a batch every minute."""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from simulation_business.business import Business
from simulation_business.options import Options, parse_options
from simulation_business.pulse import Pulse, heartbeat_path

log = logging.getLogger(__name__)

# Together below the ten seconds that Docker and supervisord give a process to end.
_GRACE_SECONDS = 4.0
_LOOK_SECONDS = 0.2


class Simulator(Protocol):
    """Sends customers through one of the doors."""

    def send(self, customers: Sequence[Customer]) -> None:
        """Sends a batch."""

    def between(self) -> float:
        """Does what is due between two batches; returns in how many seconds to be called."""

    def finish(self) -> bool:
        """Sees the last batch through; returns whether every customer was answered."""

    def close(self) -> None:
        """Lets go of connections."""


Build = Callable[[Settings, Contract, Options, Pulse], Simulator]


def main(name: str, description: str, build: Build, arguments: Sequence[str] | None = None) -> int:
    """Entry point of a simulator.

    Args:
        name: Of the simulator, as its heartbeat file carries it.
        description: For its help.
        build: Makes the simulator.
        arguments: The command line; None: the process's own.

    Returns:
        The exit code: 1 when `--once` has left customers unanswered.

    Raises:
        MlstackError: what a person can put right.
    """
    options = parse_options(description, arguments)
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
    )
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    pulse = Pulse(heartbeat_path(settings, name))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: pulse.order_stop())
    failures: list[Exception] = []
    complete = threading.Event()

    def work() -> None:
        try:
            if _simulate(settings, options, pulse, build):
                complete.set()
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)

    # The main thread only handles signals: it must not interrupt itself inside of the lock of
    # the event that it sets, and can end while a server is still being waited for.
    worker = threading.Thread(target=work, name=name, daemon=True)
    worker.start()
    while worker.is_alive() and not pulse.stopping:
        worker.join(_LOOK_SECONDS)
    worker.join(_GRACE_SECONDS)
    pulse.end()
    for failure in failures:
        raise failure
    log.info("stopped in order" if pulse.stopping else "done")
    return 0 if complete.is_set() or not options.once else 1


def run(name: str, description: str, build: Build) -> None:
    """Runs `main` and ends the process; an error that a person can put right is a sentence."""
    try:
        sys.exit(main(name, description, build))
    except MlstackError as error:
        sys.exit(f"{name}: {error}")


def _simulate(settings: Settings, options: Options, pulse: Pulse, build: Build) -> bool:
    """Simulates until the order to stop; with `--once` one batch, and whether it is answered."""
    pulse.beat()
    contract = Contract.load(settings.contract_path)
    business = Business(contract, settings, options)
    simulator = build(settings, contract, options, pulse)
    log.info(
        "customers of %s: %g a minute on average, seed %d, drift %s",
        *(contract.name, options.rate, options.seed, options.drift or "none"),
    )
    try:
        if options.once:
            simulator.send(business.average_batch())
            return simulator.finish()
        _send_batches(business, simulator, pulse, settings.simulation_seconds)
    finally:
        simulator.close()
    return True


def _send_batches(business: Business, simulator: Simulator, pulse: Pulse, seconds: float) -> None:
    """Sends a batch each time one is due; what an outage kept from being sent is not made up."""
    due_at = time.monotonic()
    while not pulse.stopping:
        simulator.send(business.next_batch())
        due_at = max(due_at + seconds, time.monotonic())
        while not pulse.stopping and (left := due_at - time.monotonic()) > 0:
            pulse.wait(min(left, simulator.between()))
