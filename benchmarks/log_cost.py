"""Measure the cost of the prediction log per request.

Usage: python -m benchmarks.log_cost [requests]

A server with the log and one without run at the same time. One client sends each request to both,
in alternating order, so that other load on the machine affects both alike.
"""

import json
import statistics
import sys
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.settings import ROOT
from tests.support.api_server import ApiServer, send
from tests.support.keeper import LogKeeper
from tests.support.models import deploy_model
from tests.support.mongo import MongoServer

MAX_RATIO = 1.10
WARM_UP = 500


def main() -> None:
    """Print the figures; fail when the target is missed."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    bodies = [json.dumps(c) for c in CustomerGenerator(contract, seed=1).draw(1000)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        states = [folder / "logged", folder / "unlogged"]
        for state in states:
            deploy_model(state, contract)
        with (
            MongoServer(folder / "mongo") as mongo,
            LogKeeper(states[0], MONGO_URI=mongo.uri),
            ApiServer(states[0]) as logged,
            ApiServer(states[1], app="benchmarks.unlogged_app:app") as bare,
        ):
            seconds = measure([logged, bare], bodies, requests)
    medians = [statistics.median(each) * 1000 for each in seconds]
    p99 = [statistics.quantiles(each, n=100)[98] * 1000 for each in seconds]
    ratio = medians[0] / medians[1]
    print("| server | p50 ms | p99 ms |\n|---|---|---|")
    print(f"| with the log | {medians[0]:.3f} | {p99[0]:.3f} |")
    print(f"| without the log | {medians[1]:.3f} | {p99[1]:.3f} |")
    print(f"\nratio of the medians {ratio:.3f} (at most {MAX_RATIO})")
    if ratio > MAX_RATIO:
        sys.exit("the log costs more than the target allows")


def measure(servers: list[ApiServer], bodies: list[str], requests: int) -> list[list[float]]:
    """Return the duration of each request in seconds, by server."""
    connections = [HTTPConnection("127.0.0.1", server.port, timeout=30) for server in servers]
    seconds: list[list[float]] = [[] for _ in servers]
    header = [("Content-Type", "application/json")]
    pairs = list(zip(connections, seconds, strict=True))
    for number in range(WARM_UP + requests):
        pairs.reverse()
        for connection, taken in pairs:
            started = time.perf_counter()
            answer = send(connection, "POST", "/predict", bodies[number % len(bodies)], header)
            if answer.status != 200:  # noqa: PLR2004 - HTTP's OK
                sys.exit(f"answered with {answer.status}: {answer.body[:300]!r}")
            if number >= WARM_UP:
                taken.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
