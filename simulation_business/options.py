"""The command line of a simulator."""

import argparse
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_RATE = 60.0
_ONCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of a simulator.

    Args:
        once: Send one batch of average size, wait for the responses, report outcomes, exit.
        rate: Average number of customers per minute.
        drift: Name of a drift in the file next to the contract; None means no drift.
        seed: Makes the customers reproducible.
    """

    once: bool = False
    rate: float = _RATE
    drift: str | None = None
    seed: int = 0

    @property
    def give_up(self) -> float:
        """Maximum server outage in seconds; a run with `--once` does not wait forever."""
        return _ONCE_SECONDS if self.once else math.inf


def parse_options(description: str, arguments: Sequence[str] | None = None) -> Options:
    """Parse the command line; exit with a message if it is invalid."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--once",
        action="store_true",
        help="send one batch of average size, then exit; exit code 1 if a customer got no response",
    )
    parser.add_argument(
        "--rate",
        type=_positive,
        default=_RATE,
        help="average customers per minute (default: %(default)g)",
    )
    parser.add_argument("--drift", help="name of a drift in the file next to the contract")
    parser.add_argument(
        "--seed",
        type=_seed,
        help="seed of the random numbers; to repeat a run, use the seed in its log",
    )
    found = parser.parse_args(arguments)
    seed = secrets.randbits(32) if found.seed is None else found.seed
    return Options(once=found.once, rate=found.rate, drift=found.drift, seed=seed)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value
