"""Measure the overhead of MLflow tracking: the same search with and without it.

Usage: [DATA_FILE=...] python -m benchmarks.tracking_overhead [trials]

It starts its own tracking server. The searches alternate, so that other load on the machine affects
both.
"""

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.training_quality import SEED, table_file
from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.settings import Settings
from model_orchestration.search import search
from model_orchestration.tracking import Effort, SearchTracking
from model_orchestration.trials import Rows
from tests.support.tracking_server import tracking_server

ROUNDS = 3
MAX_RATIO = 4.0


def main() -> None:
    """Print a table."""
    settings = Settings()
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else settings.train_trials
    contract_text = settings.contract_path.read_text(encoding="utf-8")
    contract = Contract.parse(contract_text)
    rows = dataset.clean(dataset.read_raw(table_file(contract)), contract)
    parts = dataset.split(rows, contract)
    train, validation = Rows.encode(parts.train, contract), Rows.encode(parts.validation, contract)

    def bare() -> float:
        start = time.perf_counter()
        search(train, validation, contract.target, trials=trials, seed=SEED)
        return time.perf_counter() - start

    def tracked() -> tuple[float, Effort]:
        start = time.perf_counter()
        with SearchTracking(
            contract, contract_text, tags={}, params={}, name="overhead"
        ) as tracking:
            search(
                train,
                validation,
                contract.target,
                trials=trials,
                seed=SEED,
                on_trial=lambda trial, _: tracking.add(trial),
            )
            effort = tracking.finish_trials()
        return time.perf_counter() - start, effort

    print(f"\n### {trials} trials, {len(parts.train):,} training rows, bare and tracked\n")
    print("| bare s | tracked s | ratio | training s | sending s | waiting s |")
    print("|---|---|---|---|---|---|", flush=True)
    ratios = []
    with tempfile.TemporaryDirectory() as folder, tracking_server(Path(folder)):
        # Warm-up: the first search pays for imports, the first trial fills the server's caches.
        bare()
        tracked()
        for _ in range(ROUNDS):
            untracked, (total, effort) = bare(), tracked()
            ratios.append(total / untracked)
            parts_of_time = (effort.training, effort.sending, effort.waiting)
            shown = " | ".join(f"{value:.1f}" for value in parts_of_time)
            print(f"| {untracked:.1f} | {total:.1f} | {ratios[-1]:.2f} | {shown} |", flush=True)
    verdict = "met" if median(ratios) <= MAX_RATIO else "missed"
    print(f"\nmedian ratio {median(ratios):.2f}, at most {MAX_RATIO:.0f}: {verdict}")


if __name__ == "__main__":
    main()
