"""What a simulator can be told on its command line."""

import argparse
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

_RATE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """A simulator's command line.

    Args:
        once: Send one batch of average size, see it answered, report its outcomes, end.
        rate: Customers a minute on average.
        drift: Name of a drift in the file beside the contract; None: none.
        seed: The same seed draws the same customers.
    """

    once: bool = False
    rate: float = _RATE
    drift: str | None = None
    seed: int = 0


def parse_options(description: str, arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the process with a sentence when it is wrong."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--once", action="store_true", help="one batch of average size; 1 when any is unanswered"
    )
    parser.add_argument(
        "--rate", type=_positive, default=_RATE, help="customers a minute on average (%(default)g)"
    )
    parser.add_argument("--drift", help="a drift of the file beside the contract")
    parser.add_argument("--seed", type=_seed, help="repeats what was drawn; the log says it")
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
