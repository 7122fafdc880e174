"""Measure how fast `make score` scores a large table, and how much memory it takes.

Usage: python -m benchmarks.table_scoring [rows]

The table is that of `benchmarks.table_reading`, without its target; the model has 300 trees. Output
and spool are written; nothing takes the spool meanwhile.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xgboost

from benchmarks.table_reading import write_table
from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.deployment.record import DeploymentState
from mlstack.model.encoder import Encoder
from mlstack.settings import ROOT, Settings
from operations.scoring.score import score
from tests.support.models import RUN_ID, write_booster

_TREES = 300
_CONTRACT = Path("contracts/credit_card_churn_full.yaml")


def main() -> None:
    """Print the figures."""
    given = sys.argv[1:]
    if len(given) > 1:
        _measure(Path(given[0]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contract = Contract.load(ROOT / _CONTRACT)
        write_table(contract, int(given[0] if given else 1_000_000), folder / "table.csv")
        _keep_model(contract, folder / "state")
        # Another process, because making the table takes memory, too.
        command = [sys.executable, "-m", "benchmarks.table_scoring", name, "measure"]
        subprocess.run(command, check=True)


def _keep_model(contract: Contract, state: Path) -> None:
    rows = clean(read_raw(ROOT / str(contract.data.sample)), contract)
    encoder = Encoder(contract)
    names = list(encoder.columns)
    data = xgboost.DMatrix(
        encoder.encode_frame(rows), rows[contract.target.name], feature_names=names
    )
    booster = xgboost.train({"objective": "binary:logistic"}, data, num_boost_round=_TREES)
    text = (ROOT / _CONTRACT).read_text(encoding="utf-8")
    write_booster(state / "models" / RUN_ID, booster, contract, text)
    DeploymentState(state).write_record(RUN_ID, "benchmark")


def _measure(folder: Path) -> None:
    settings = Settings(state_dir=folder / "state", contract=_CONTRACT)
    wall, cpu = time.perf_counter(), time.process_time()
    progress = score(settings, folder / "table.csv", folder / "scores.csv", print)
    seconds = time.perf_counter() - wall
    spool = sum(path.stat().st_size for path in settings.spool_path.iterdir()) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{progress.scored:,} rows in {seconds:.1f} s, {time.process_time() - cpu:.1f} s of CPU, "
        f"peak memory {peak:,.0f} MB, spool {spool:,.0f} MB"
    )
    shutil.rmtree(settings.spool_path)


if __name__ == "__main__":
    main()
