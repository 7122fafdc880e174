"""Prove that stopping hopeless trials keeps the winner as good, and measure what it saves.

Usage: [DATA_FILE=...] python -m benchmarks.search_stopping [trials] [contract]

The same searches, over five seeds and by default 50 trials, with and without the rule. A loss is
that of the winner: on validation rows, by which it was chosen, and on test rows.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.training_quality import table_file
from mlstack.contract import Contract, contract_files
from mlstack.data import dataset
from mlstack.settings import ROOT, Settings
from model_orchestration import hopeless
from model_orchestration.metrics import evaluate, loss_name
from model_orchestration.search import search
from model_orchestration.trials import Rows, Trial

SEEDS = (1, 2, 3, 4, 5)


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
    rule = hopeless.is_hopeless
    for seed in SEEDS:
        found = []
        for used in (_never, rule):
            hopeless.is_hopeless = used
            seen: list[Trial] = []

            def on_trial(trial: Trial, _: Trial | None, seen: list[Trial] = seen) -> None:
                seen.append(trial)

            start = time.perf_counter()
            best = search(
                train,
                validation,
                contract.target,
                trials=trials,
                seed=seed,
                on_trial=on_trial,
            )
            spent = time.perf_counter() - start
            assert best.booster is not None  # noqa: S101 - a winner has a model
            scores = best.booster.inplace_predict(test.matrix)
            loss = evaluate(contract.target, test.outcomes, scores)[name]
            trees = sum(trial.metrics["trees"] for trial in seen)
            found.append((best.loss, loss, trees, spent, sum(trial.stopped for trial in seen)))
        (loss, test_loss, trees, spent, _), (own, own_test, own_trees, own_spent, stops) = found
        differences.append((own - loss, own_test - test_loss, own_trees / trees))
        print(
            f"| {seed} | {loss:.4f} | {own:.4f} | {test_loss:.4f} | {own_test:.4f} | "
            f"{trees:,.0f} to {own_trees:,.0f} | {spent:.1f} to {own_spent:.1f} | {stops} |",
            flush=True,
        )
    means = np.mean(differences, axis=0)
    print(
        f"\nmean difference: validation {means[0]:+.5f}, test {means[1]:+.5f}; "
        f"{means[2]:.0%} of the trees"
    )


def _never(losses: Sequence[float], rounds: int, rival: float) -> bool:  # noqa: ARG001 - the rule's signature
    return False


if __name__ == "__main__":
    main()
