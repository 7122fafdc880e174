"""Measures what tracking costs: the same search without and with every trial in MLflow.

Usage: [DATA_FILE=...] python -m benchmarks.tracking_overhead [trials]

It starts a tracking server for it. The searches alternate, so that other load on the machine
affects both.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import requests

from benchmarks.training_quality import SEED, table_file
from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.settings import Settings
from model_orchestration.search import Rows, search
from model_orchestration.tracking import SearchTracking, Seconds

ROUNDS = 3
MAX_RATIO = 4.0
START_SECONDS = 120


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
        search(train, validation, trials=trials, seed=SEED)
        return time.perf_counter() - start

    def tracked() -> tuple[float, Seconds]:
        start = time.perf_counter()
        with SearchTracking(
            contract, contract_text, tags={}, params={}, name="overhead"
        ) as tracking:
            search(
                train,
                validation,
                trials=trials,
                seed=SEED,
                on_trial=lambda trial, _: tracking.add(trial),
            )
            seconds = tracking.finish_trials()
        return time.perf_counter() - start, seconds

    print(f"\n### {trials} trials, {len(parts.train):,} training rows, bare and tracked\n")
    print("| bare s | tracked s | ratio | training s | sending s | waiting s |")
    print("|---|---|---|---|---|---|", flush=True)
    ratios = []
    with _tracking_server():
        # Warm-up: the first search imports, the first trial fills the server's caches.
        bare()
        tracked()
        for _ in range(ROUNDS):
            alone, (beside, seconds) = bare(), tracked()
            ratios.append(beside / alone)
            parts_of_time = (seconds.training, seconds.sending, seconds.waiting)
            shown = " | ".join(f"{value:.1f}" for value in parts_of_time)
            print(f"| {alone:.1f} | {beside:.1f} | {ratios[-1]:.2f} | {shown} |", flush=True)
    verdict = "met" if median(ratios) <= MAX_RATIO else "missed"
    print(f"\nmedian ratio {median(ratios):.2f}, at most {MAX_RATIO:.0f}: {verdict}")


@contextmanager
def _tracking_server() -> Iterator[None]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        log = (Path(folder) / "server.log").open("w")
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(port), "--workers", "1", "--serve-artifacts"),
                *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--artifacts-destination", f"{folder}/artifacts"),
                *("--default-artifact-root", "mlflow-artifacts:/"),
            ],
            env={
                **os.environ,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait_for(f"{address}/health", server)
            os.environ["MLFLOW_TRACKING_URI"] = address
            yield
        finally:
            server.terminate()
            server.wait()
            log.close()


def _wait_for(url: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    sys.exit("the tracking server did not start")


if __name__ == "__main__":
    main()
