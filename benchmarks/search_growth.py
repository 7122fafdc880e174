"""Measure how the time and memory of a tracked search grow with the rows of its table.

Usage: python -m benchmarks.search_growth [trials [rows ...]]

Each size is a process of its own, on a table as `table_reading` writes it, with an MLflow server
beside it: what the training flow does, without Prefect.
"""

import resource
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.table_reading import write_table
from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.settings import ROOT, Settings
from model_orchestration.core_share import CoreShare
from model_orchestration.search import search
from model_orchestration.stopwatch import Stopwatch
from model_orchestration.thread_engine import ThreadEngine
from model_orchestration.tracking import SearchTracking
from model_orchestration.trials import Rows
from tests.support.tracking_server import tracking_server

SIZES = ("10000", "100000", "1000000")
SEED = 20221
CONTRACT = ROOT / "contracts" / "credit_card_churn_full.yaml"


def main() -> None:
    """Print the figures of each size."""
    trials = sys.argv[1] if len(sys.argv) > 1 else str(Settings().train_trials)
    if sys.argv[2:] and not sys.argv[2].isdecimal():
        _measure(int(trials), Path(sys.argv[2]), Path(sys.argv[3]))
        return
    for rows in sys.argv[2:] or SIZES:
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / "table.csv"
            write_table(Contract.load(CONTRACT), int(rows), table)
            command = [sys.executable, "-m", "benchmarks.search_growth", trials]
            subprocess.run([*command, str(table), folder], check=True)


def _measure(trials: int, table: Path, folder: Path) -> None:
    times = Stopwatch()
    text = CONTRACT.read_text(encoding="utf-8")
    contract = Contract.parse(text)
    with times.time("load"):
        raw = dataset.read_raw(table.read_bytes())
    with times.time("clean"):
        rows = dataset.clean(raw, contract)
    with times.time("split"):
        parts = dataset.split(rows, contract)
    with times.time("encode"):
        train, validation, test = (Rows.encode(part, contract) for part in parts)
    share = CoreShare.for_table(train.matrix.size, Settings().train_lag)
    print(f"{len(rows):,} rows, trials at the same time: {share.trials}")
    with (
        tracking_server(folder / "mlflow"),
        SearchTracking(contract, text, tags={}, params={}, name="growth") as tracking,
    ):
        best = search(
            train,
            validation,
            contract.target,
            trials=trials,
            seed=SEED,
            on_trial=lambda trial, _: tracking.add(trial),
            open_engine=partial(ThreadEngine, share=share),
            times=times,
        )
        with times.time("wait for uploads"):
            effort = tracking.finish_trials()
        with times.time("conclude"):
            tracking.conclude(best, parts.train, train, test)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{trials} trials, {effort.stopped} stopped early: {times}\n"
        f"training {effort.training:.1f} s in all, uploads {effort.sending:.1f} s in parallel; "
        f"peak memory {peak:,.0f} MB; best loss {best.loss:.4f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
