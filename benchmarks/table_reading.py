"""Measure how fast a large raw table is read, cleaned and split, and how much memory it takes.

Usage: python -m benchmarks.table_reading [rows | table.csv]

The table has the columns of the contract with all features. Its rows are drawn from the synthetic
sample, and its large numbers are varied, so that they have as many distinct values as real ones.
"""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from mlstack.contract import Contract, NumberFeature
from mlstack.data.dataset import clean, read_raw, split
from mlstack.settings import ROOT

SEED = 20221
_FEW_VALUES = 200

T = TypeVar("T")


def main() -> None:
    """Print the figures."""
    given = sys.argv[1] if len(sys.argv) > 1 else "1000000"
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn_full.yaml")
    if not given.isdecimal():
        _measure(contract, Path(given))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        write_table(contract, int(given), table)
        # Another process, because writing the table takes memory, too.
        subprocess.run([sys.executable, "-m", "benchmarks.table_reading", table], check=True)


def _measure(contract: Contract, table: Path) -> None:
    raw = _timed("read", lambda: read_raw(table.read_bytes()))
    print(f"{len(raw):,} rows, {table.stat().st_size / 1e6:.0f} MB")
    cleaned = _timed("clean", lambda: clean(raw, contract))
    parts = _timed("split", lambda: split(cleaned, contract))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory {peak:,.0f} MB, parts of {[*map(len, parts)]} rows")


def write_table(contract: Contract, rows: int, path: Path) -> None:
    """Write a table for a contract."""
    rng = np.random.default_rng(SEED)
    sample = read_raw(ROOT / str(contract.data.sample)).frame()
    table = sample.iloc[rng.integers(0, len(sample), rows)].reset_index(drop=True)
    for feature in contract.features:
        if isinstance(feature, NumberFeature) and table[feature.raw].nunique() > _FEW_VALUES:
            numbers = table[feature.raw].astype("float64") * rng.uniform(0.9, 1.1, rows)
            low, high = feature.range
            table[feature.raw] = numbers.clip(low, high).round(3).astype(str)
    for start in range(0, rows, 100_000):
        part = table.iloc[start : start + 100_000]
        part.to_csv(path, index=False, header=start == 0, mode="a")


def _timed(what: str, step: Callable[[], T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    result = step()
    print(
        f"{what:<6} {time.perf_counter() - wall:6.2f} s, {time.process_time() - cpu:6.2f} s of CPU"
    )
    return result


if __name__ == "__main__":
    main()
