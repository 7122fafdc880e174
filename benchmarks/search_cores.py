"""Measure whether trials side by side or threads within a trial use the cores better, by size.

Usage: python -m benchmarks.search_cores [rows ...]

Each size is measured in a process of its own, on a table as `table_reading` writes it: two of the
search's trials one after the other with a thread each, then at the same time, then with all cores
for each. Models have to be the same each time.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table_reading import write_table
from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.settings import ROOT
from model_orchestration import trainer as training
from model_orchestration.proposals import Proposals
from model_orchestration.search import SPACE
from model_orchestration.trainer import Trainer
from model_orchestration.trials import Rows, Trial

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
SEED = 20221
ROUNDS = 100
"""Enough to compare; a trial has up to 1,000."""


def main() -> None:
    """Print a table."""
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn_full.yaml")
    given = sys.argv[1:]
    if len(given) == 1 and not given[0].isdecimal():
        _measure(contract, Path(given[0]))
        return
    print(f"\n### Two trials of {ROUNDS} rounds, in seconds, on {os.cpu_count()} cores\n")
    print("| rows | cells | read to encode | bin | in turn | side by side | threads | peak MB |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for rows in map(int, given or SIZES):
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.csv"
            write_table(contract, rows, table)
            command = [sys.executable, "-m", "benchmarks.search_cores", str(table)]
            subprocess.run(command, check=True)


def _measure(contract: Contract, table: Path) -> None:
    start = time.perf_counter()
    rows = dataset.clean(dataset.read_raw(table.read_bytes()), contract)
    parts = dataset.split(rows, contract)
    train, validation = Rows.encode(parts.train, contract), Rows.encode(parts.validation, contract)
    prepared = time.perf_counter() - start
    training._MAX_ROUNDS = ROUNDS  # type: ignore[misc]  # noqa: SLF001 - a whole trial takes too long
    seconds, models, bin_seconds = [], [], 0.0
    cores = os.cpu_count() or 1
    for side_by_side, threads in ((1, 1), (2, 1), (1, cores)):
        start = time.perf_counter()
        trainer = Trainer(train, validation, contract.target, threads)
        bin_seconds = time.perf_counter() - start
        start = time.perf_counter()
        with ThreadPoolExecutor(side_by_side) as pool:
            trials = list(pool.map(lambda drawn, own=trainer: _run(own, drawn), _drawn()))
        seconds.append(time.perf_counter() - start)
        models.append([bytes(trial.booster.save_raw("ubj")) for trial in trials if trial.booster])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    shown = " | ".join(f"{value:.2f}" for value in (prepared, bin_seconds, *seconds))
    print(f"| {len(rows):,} | {train.matrix.size:,} | {shown} | {peak:,.0f} |", flush=True)
    if models[0] != models[1] or models[0] != models[2]:
        sys.exit("the number of threads changes the models")


def _drawn() -> list[dict[str, Any]]:
    proposals = Proposals(SPACE, SEED)
    return [{**proposals.ask(), "seed": SEED} for _ in range(2)]


def _run(trainer: Trainer, drawn: dict[str, Any]) -> Trial:
    return trainer.run_trial(1, 2, drawn, np.inf)


if __name__ == "__main__":
    main()
