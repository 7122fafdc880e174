"""Prove that stopping hopeless trials keeps the winner as good, and measure what it saves.

Usage: [DATA_FILE=...] python -m benchmarks.search_stopping [trials] [contract]

The same searches, over five seeds and by default 50 trials, with and without the rule. A loss is
that of the winner: on validation rows, by which it was chosen, and on test rows.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.training_quality import table_file
from mlstack.contract import Contract, contract_files
from mlstack.contract.target import Target
from mlstack.data import dataset
from mlstack.settings import ROOT, Settings
from model_orchestration import hopeless
from model_orchestration.metrics import evaluate, loss_name
from model_orchestration.search import search
from model_orchestration.trials import Rows, Trial

SEEDS = (1, 2, 3, 4, 5)
_RULE = hopeless.is_hopeless


class _Result(NamedTuple):
    """A search: losses of its winner, and what its trials took together."""

    loss: float
    test_loss: float
    trees: float
    seconds: float
    stops: int


def main() -> None:
    """Print a table for each contract."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else Settings().train_trials
    paths = [Path(given) for given in sys.argv[2:]] or contract_files(ROOT / "contracts")
    for path in paths:
        _compare(Contract.load(path), trials)


def _compare(contract: Contract, trials: int) -> None:
    rows = dataset.clean(dataset.read_raw(table_file(contract)), contract)
    parts = dataset.split(rows, contract)
    train, validation, test = (Rows.encode(part, contract) for part in parts)
    name = loss_name(contract.target)
    print(f"\n### {contract.name}: {len(train.matrix):,} training rows, {trials} trials\n")
    print(f"| seed | {name}, all | stopped | test, all | stopped | trees | seconds | stops |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    differences = []
    for seed in SEEDS:
        full, cut = (
            _search(train, validation, test, contract.target, trials=trials, seed=seed, stop=stop)
            for stop in (False, True)
        )
        differences.append(
            (cut.loss - full.loss, cut.test_loss - full.test_loss, cut.trees / full.trees)
        )
        print(
            f"| {seed} | {full.loss:.4f} | {cut.loss:.4f} | {full.test_loss:.4f} | "
            f"{cut.test_loss:.4f} | {full.trees:,.0f} to {cut.trees:,.0f} | "
            f"{full.seconds:.1f} to {cut.seconds:.1f} | {cut.stops} |",
            flush=True,
        )
    means = np.mean(differences, axis=0)
    print(
        f"\nmean difference: validation {means[0]:+.5f}, test {means[1]:+.5f}; "
        f"{means[2]:.0%} of the trees"
    )


def _search(
    train: Rows,
    validation: Rows,
    test: Rows,
    target: Target,
    *,
    trials: int,
    seed: int,
    stop: bool,
) -> _Result:
    hopeless.is_hopeless = _RULE if stop else _never
    seen: list[Trial] = []
    start = time.perf_counter()
    best = search(
        train,
        validation,
        target,
        trials=trials,
        seed=seed,
        on_trial=lambda trial, _: seen.append(trial),
    )
    seconds = time.perf_counter() - start
    assert best.booster is not None  # noqa: S101 - a winner has a model
    scores = best.booster.inplace_predict(test.matrix)
    return _Result(
        best.loss,
        evaluate(target, test.outcomes, scores)[loss_name(target)],
        sum(trial.metrics["trees"] for trial in seen),
        seconds,
        sum(trial.stopped for trial in seen),
    )


def _never(losses: Sequence[float], rounds: int, rival: float) -> bool:  # noqa: ARG001 - the rule's signature
    return False


if __name__ == "__main__":
    main()
