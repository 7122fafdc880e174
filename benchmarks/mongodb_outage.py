"""Measure latency before, during and after a MongoDB outage, and the recovery.

Usage: python -m benchmarks.mongodb_outage [minutes, 1 by default]

The load is 50 requests per second. MongoDB's stand-in is killed for the given time and restarted.
At the end, every answered prediction must be stored.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from mlstack.contract import Contract
from mlstack.settings import ROOT
from tests.support.api_server import ApiServer
from tests.support.keeper import LogKeeper
from tests.support.ledger import Client, assert_ledger_holds
from tests.support.models import deploy_model
from tests.support.mongo import MongoServer
from tests.support.waiting import wait_until

SPOOL = "mlstack_spool_records"
DRAIN_SECONDS = 120
# Under load the spool is never empty.
NEARLY_EMPTY = 100


def main() -> None:
    """Print the figures; fail if a prediction is lost or the spool drains too slowly."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    with tempfile.TemporaryDirectory() as name:
        state = Path(name) / "state"
        deploy_model(state, contract)
        with (
            MongoServer(Path(name) / "mongo") as mongo,
            LogKeeper(state, MONGO_URI=mongo.uri) as keeper,
            ApiServer(state) as server,
        ):
            with Client(server, contract) as client:
                backlog, drained = run_outage(client, keeper, mongo, minutes)
            assert_ledger_holds(client, mongo)
    print(f"\nbacklog {backlog:,.0f} records, drained in {drained:.1f} s")
    print(f"answered {len(client.answered):,}, refused {len(client.refused)}, lost 0")


def run_outage(
    client: Client, keeper: LogKeeper, mongo: MongoServer, minutes: float
) -> tuple[float, float]:
    """Run the outage; return the final backlog and the seconds to drain it."""
    print("| | requests | p50 ms | p99 ms |\n|---|---|---|---|")
    client.wait_for(200, "the server has warmed up")
    phase(client, "before", 60)
    mongo.kill()
    phase(client, f"MongoDB down, {minutes:g} min", minutes * 60)
    backlog = keeper.metric(SPOOL)
    mongo.start()
    started = time.monotonic()
    wait_until(lambda: keeper.metric(SPOOL) < NEARLY_EMPTY, "the spool drains", DRAIN_SECONDS)
    drained = time.monotonic() - started
    phase(client, "after", 30)
    return backlog, drained


def phase(client: Client, name: str, seconds: float) -> None:
    """Wait, then print the latency of that period as a table row."""
    first = len(client.latencies)
    time.sleep(seconds)
    taken = [each * 1000 for each in client.latencies[first:]]
    p99 = statistics.quantiles(taken, n=100)[98]
    print(f"| {name} | {len(taken):,} | {statistics.median(taken):.1f} | {p99:.1f} |", flush=True)


if __name__ == "__main__":
    main()
