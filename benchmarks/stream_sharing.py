"""Kill stream servers that share a stream, while its shards split and merge.

Usage: python -m benchmarks.stream_sharing [kills, 20 by default]

Three servers with `STREAM_ENGINE=kcl` and one state folder read from kinesis-local (which needs
npm); moto has the leases. The load is 100 records per second. Servers are killed at random moments,
one at a time, and started again after up to 10 seconds. While one is dead, a shard splits after a
third of the kills, and two merge after two thirds. At the end, every record must be in MongoDB
once, with its answer on `results`.
"""

import random
import statistics
import sys
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from mlstack.contract import Contract
from mlstack.settings import ROOT
from tests.support.aws import StreamTail, moto
from tests.support.keeper import LogKeeper
from tests.support.kinesis_local import (
    NotInstalled,
    assert_parents_first,
    install,
    kinesis_local,
    merge_first,
    split_first,
)
from tests.support.models import deploy_model
from tests.support.mongo import MongoServer
from tests.support.stream_fleet import Fleet
from tests.support.stream_server import Ledger, Load, StreamServer, where

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SERVERS, SHARDS = 3, 3
RATE = 100
KILL_SECONDS = 10.0
DRAIN_SECONDS = 300
_MIB = 1024 * 1024


def main() -> None:
    """Print the figures; fail if a record is lost or stored twice."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            emulator = kinesis_local(folder, install(folder / "npm"))
        except NotInstalled as error:
            print(f"skipped: {error}")
            return
        deploy_model(folder / "state", contract)
        with (
            MongoServer(folder / "mongo") as mongo,
            emulator,
            moto(folder) as leases,
            LogKeeper(folder / "state", MONGO_URI=mongo.uri),
        ):
            kinesis = emulator.make_streams(SHARDS)
            settings = {**leases.environment, "AWS_ENDPOINT_URL_KINESIS": emulator.url}
            server = StreamServer(folder / "state", STREAM_ENGINE="kcl", **settings)
            fleet = Fleet(server, SERVERS, random.Random())  # noqa: S311 - decides who dies, no secret
            ledger = Ledger(kinesis, mongo.uri)
            began = time.monotonic()
            with fleet, Load(kinesis, contract, RATE) as load:
                fleet.wait_until_shared(SHARDS)
                print(f"all share the shards after {time.monotonic() - began:.0f} s", flush=True)
                kill(fleet, kinesis, kills)
                load.end()
                ledger.check(load.puts, seconds=DRAIN_SECONDS)
                print(f"memory: {', '.join(f'{mib:.0f}' for mib in memory(fleet))} MiB")
            assert_parents_first(kinesis, ledger.results())
            waited = waits(kinesis, ledger)
            p99 = statistics.quantiles(waited, n=100)[98]
            print(
                f"{len(load.puts):,} records in {time.monotonic() - began:.0f} s, {fleet.kills} "
                f"kills: lost 0, stored twice 0, answered again {ledger.duplicates()}\n"
                f"put to first result: p50 {statistics.median(waited):.2f} s, p99 {p99:.1f} s, "
                f"longest {max(waited):.1f} s"
            )


def kill(fleet: Fleet, kinesis: "KinesisClient", kills: int) -> None:
    """Kill one server after the other, and reshard twice."""
    reshard = {kills // 3: split_first, 2 * kills // 3: merge_first}
    for number in range(1, kills + 1):
        change = reshard.get(number)
        fleet.kill_one(KILL_SECONDS, partial(change, kinesis) if change else lambda: None)
        done = f", {change.__name__}" if change else ""
        print(f"kill {number}{done}: shards by instance {fleet.shards()}", flush=True)


def memory(fleet: Fleet) -> list[float]:
    """Measure the memory of each server (PSS), in MiB."""
    return [
        psutil.Process(server.process.pid).memory_full_info().pss / _MIB for server in fleet.servers
    ]


def waits(kinesis: "KinesisClient", ledger: Ledger) -> list[float]:
    """Return the seconds from each record's arrival to that of its first result."""
    put_at = {
        record["SequenceNumber"]: record["ApproximateArrivalTimestamp"]
        for record in StreamTail(kinesis, "predictions").read()
    }
    first = dict[str, datetime]()
    tail = StreamTail(kinesis, "results").read()
    for result, record in zip(ledger.results(), tail, strict=True):
        first.setdefault(where(result).sequence_number, record["ApproximateArrivalTimestamp"])
    return [(at - put_at[number]).total_seconds() for number, at in first.items()]


if __name__ == "__main__":
    main()
