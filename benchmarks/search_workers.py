"""Measure a search on one, two and three Dask workers, and that all of them find the same models.

Usage: python -m benchmarks.search_workers [rows [trials]]

The table is as `table_reading` writes it; nodes are processes on this machine.
"""

import sys
import tempfile
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

from benchmarks.table_reading import write_table
from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.settings import ROOT
from model_orchestration.dask_engine import DaskEngine
from model_orchestration.engine import OpenEngine
from model_orchestration.search import search
from model_orchestration.trials import Rows, Trial
from tests.support.dask_nodes import DaskNodes

SEED = 20221
CONTRACT = ROOT / "contracts" / "credit_card_churn_full.yaml"


def main(rows: int = 100_000, trials: int = 12) -> None:
    """Print a table of the times; exit if the models differ."""
    contract = Contract.load(CONTRACT)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_table(contract, rows, folder / "table.csv")
        raw = dataset.read_raw((folder / "table.csv").read_bytes())
        parts = dataset.split(dataset.clean(raw, contract), contract)
        train, validation = (
            Rows.encode(part, contract) for part in (parts.train, parts.validation)
        )
        print("| where | seconds | times |\n|---|---|---|")

        def measure(engine: OpenEngine | None) -> tuple[float, list[str]]:
            models: list[str] = []

            def add(trial: Trial, _: Trial | None) -> None:
                raw = bytes(trial.booster.save_raw("ubj")) if trial.booster else b""
                models.append(sha256(raw).hexdigest())

            began = time.perf_counter()
            search(
                *(train, validation, contract.target),
                trials=trials,
                seed=SEED,
                on_trial=add,
                open_engine=engine,
            )
            return time.perf_counter() - began, models

        seconds, models = measure(None)
        print(f"| threads of one process | {seconds:.1f} | |", flush=True)
        one = 0.0
        with DaskNodes(folder) as nodes:
            for name in ("a", "b", "c"):
                nodes.start_workers(name)
                seconds, same = measure(partial(DaskEngine, cluster=nodes.cluster))
                one = one or seconds
                print(
                    f"| {len(nodes.workers)} Dask workers | {seconds:.1f} | {one / seconds:.2f} |",
                    flush=True,
                )
                if same != models:
                    sys.exit("the engine changes the models")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
