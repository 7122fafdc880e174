"""Medians, spreads and ratios of a run, and the targets."""

import operator
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from benchmarks.serving import contestants as names
from benchmarks.serving.measuring import BATCHES, CAPACITY
from benchmarks.serving.results import Measured, Run, Turn

_CAPACITY = str(CAPACITY)


def rate(load: Measured) -> float:
    """Return the customers predicted a second."""
    return load.per_second


def p50(load: Measured) -> float:
    """Return the median latency in milliseconds."""
    return load.latencies.p50


def p99(load: Measured) -> float:
    """Return the latency in milliseconds that 99 % of the requests do not exceed."""
    return load.latencies.p99


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over the rounds."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Target:
    """What is promised of our server, and what was measured."""

    title: str
    wanted: float
    at_most: bool
    measured: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the promise holds."""
        compare = operator.le if self.at_most else operator.ge
        return bool(compare(self.measured, self.wanted))


class Summary:
    """The figures of a run."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def turns(self, name: str) -> list[Turn]:
        """Return the turns of a server that have figures."""
        return [turn for turn in self._run.turns if turn.contestant == name and not turn.failed]

    def over_rounds(self, name: str, figure: Callable[[Turn], float]) -> Spread | None:
        """Return a figure of a server; None if it has no turn with figures."""
        return _spread([figure(turn) for turn in self.turns(name)])

    def load(self, name: str, load: str, figure: Callable[[Measured], float]) -> Spread | None:
        """Return a figure of a server under a load; None if it was not measured."""
        return _spread(
            [figure(turn.loads[load]) for turn in self.turns(name) if load in turn.loads]
        )

    def ratio(self, other: str, load: str) -> Spread | None:
        """Return how many times as many customers our server predicts a second as another one.

        Each round gives one ratio, because the machine may be slower in another round.
        """
        theirs = {turn.round: turn for turn in self.turns(other) if load in turn.loads}
        return _spread(
            [
                turn.loads[load].per_second / theirs[turn.round].loads[load].per_second
                for turn in self.turns(names.OURS)
                if load in turn.loads and turn.round in theirs
            ]
        )

    def errors(self, name: str) -> int:
        """Return how many requests of all loads got no answer with success."""
        return sum(load.errors for turn in self.turns(name) for load in turn.loads.values())

    @cached_property
    def targets(self) -> list[Target]:
        """The targets about which the run says something."""
        found: list[Target] = []

        def add(
            title: str,
            wanted: float,
            measured: Spread | None,
            unit: str = "",
            *,
            most: bool = False,
        ) -> None:
            if measured is not None:
                found.append(Target(title, wanted, most, measured.median, unit))

        add("times Flask's constant", 2.5, self.ratio(names.CONSTANT, _CAPACITY))
        for name in (names.MLSERVER, names.BENTOML, names.LITSERVE, names.MLFLOW):
            title = next((c.title for c in self._run.contestants if c.name == name), "")
            add(f"times {title}", 5, self.ratio(name, _CAPACITY))
        add("times typed FastAPI", 3, self.ratio(names.FASTAPI, _CAPACITY))
        add("times insert and post", 20, self.ratio(names.INSERTING, _CAPACITY))
        add("times bare ASGI", 0.3, self.ratio(names.BARE, _CAPACITY))
        slowest = self.load(names.OURS, _CAPACITY, p99)
        add(f"p99 at {_CAPACITY} connections", 10, slowest, " ms", most=True)
        # The bare callable does nothing with a request, so only the cost beside it counts.
        others = [c.name for c in self._run.contestants if c.name not in (names.OURS, names.BARE)]
        found_p99 = [self.load(name, _CAPACITY, p99) for name in others]
        if lowest := min((each.median for each in found_p99 if each), default=None):
            add("p99 below all but bare ASGI's", lowest, slowest, " ms", most=True)
        add("p50 at 1 connection", 1, self.load(names.OURS, "1", p50), " ms", most=True)
        batches = self.load(names.OURS, BATCHES, rate)
        add("rows a second in batches", 100_000, batches)
        start = self.over_rounds(names.OURS, lambda turn: turn.first_answer_seconds)
        add("first answer", 3, start, " s", most=True)
        return found

    @property
    def missed(self) -> list[str]:
        """What our server owes: targets, errors, and predictions that were not kept."""
        found = [target.title for target in self.targets if not target.met]
        found += [
            f"ledger of round {each.round + 1}" for each in self._run.ledgers if not each.agrees
        ]
        failed = [turn for turn in self._run.turns if turn.failed and turn.contestant == names.OURS]
        found += [f"round {turn.round + 1}: {turn.failed}" for turn in failed]
        return found + (["requests without an error"] if self.errors(names.OURS) else [])


def _spread(values: list[float]) -> Spread | None:
    return Spread(statistics.median(values), min(values), max(values)) if values else None
