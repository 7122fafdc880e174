"""Compare the stream server's throughput with the limits of the emulator.

Usage: python -m benchmarks.stream_throughput [records]

It starts an emulator (moto), MongoDB's stand-in and a server. It first measures latency at 100
records per second: from an acknowledged put to the readable result. It then reads a backlog from
the start with a plain loop that only reads, and with one that also puts an answer of the same size.
After that it alternates between a loop that reads and answers, one that also stores each record in
MongoDB, and the server. All share the processors with the emulator and MongoDB's stand-in, which
dominate on two cores.
"""

import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from tests.support.aws import moto, put, running
from tests.support.keeper import LogKeeper
from tests.support.models import deploy_model
from tests.support.mongo import MongoServer
from tests.support.stream_server import StreamServer, customers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef
    from pymongo.collection import Collection

RATE = 100
LATENCY_SECONDS = 20
MAX_MEDIAN_SECONDS = 1.0
MIN_RATIO = 0.9
MAX_MICROSECONDS = 40.0
ANSWER_BYTES = 210
# Other load may hit either side of a round, so the median counts.
ROUNDS = 3


def main() -> None:
    """Print the figures; fail when a target is missed."""
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
    with tempfile.TemporaryDirectory() as name:
        folder, emulator = Path(name), moto(Path(name))
        deploy_model(folder / "state", contract)
        with MongoServer(folder / "mongo") as mongo, running(emulator) as kinesis:
            server = StreamServer(folder / "state", **emulator.environment)
            keeper = LogKeeper(folder / "state", MONGO_URI=mongo.uri)
            with keeper, server:
                latencies = latency(kinesis, customers(contract, RATE * LATENCY_SECONDS))
            median, last = statistics.median(latencies), statistics.quantiles(latencies, n=100)[98]
            print(f"put -> result at {RATE} records/s: p50 {median:.3f} s, p99 {last:.3f} s")
            put(kinesis, customers(contract, records))
            total = records + len(latencies)
            read = plain_loop(kinesis, total)
            print(f"plain loop, reads:                    {read:8,.0f} records/s")
            turns, stored_turns, costs = [], [], []
            with MongoClient[dict[str, Any]](mongo.uri) as client:
                for number in range(ROUNDS):
                    answering = plain_loop(kinesis, total, f"answers-{number}")
                    print(f"plain loop, reads and answers:        {answering:8,.0f} records/s")
                    shutil.rmtree(folder / "state" / "stream")
                    with server:
                        answered, cost = answer_all(server, total)
                    print(f"stream server, answered:              {answered:8,.0f} records/s")
                    print(f"stream server, CPU per record:        {cost:8,.0f} us")
                    scratch = f"scratch-{number}"
                    storing = plain_loop(kinesis, total, scratch, client["benchmark"][scratch])
                    print(f"plain loop, reads, answers, stores:   {storing:8,.0f} records/s")
                    client.drop_database(DATABASE)
                    shutil.rmtree(folder / "state" / "spool")  # nobody has drained it yet
                    shutil.rmtree(folder / "state" / "stream")
                    with keeper, server:
                        served, stored = answer_and_store(server, keeper, total)
                    print(f"stream server with keeper, answered:  {served:8,.0f} records/s")
                    print(f"stream server with keeper, stored:    {stored:8,.0f} records/s")
                    turns.append(answered / answering)
                    stored_turns.append(served / storing)
                    costs.append(cost)
    ratio, cost = statistics.median(turns), statistics.median(costs)
    stored_ratio = statistics.median(stored_turns)
    print(f"server / plain loop that answers, median of {ROUNDS}: {ratio:.2f}")
    print(f"server / plain loop that stores, median of {ROUNDS}: {stored_ratio:.2f}")
    print(f"CPU per record, median of {ROUNDS}: {cost:.0f} us")
    ok = median < MAX_MEDIAN_SECONDS and ratio >= MIN_RATIO and cost < MAX_MICROSECONDS
    print("targets met" if ok else "TARGETS MISSED")
    sys.exit(0 if ok else 1)


def latency(kinesis: "KinesisClient", bodies: list[bytes]) -> list[float]:
    """Return the seconds from each acknowledged put to its result."""
    put_at: dict[tuple[str, str], float] = {}
    seen_at: dict[tuple[str, str], float] = {}
    putting = threading.Thread(target=_put_evenly, args=(kinesis, bodies, put_at))
    putting.start()
    iterator = kinesis.get_shard_iterator(
        StreamName="results", ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    deadline = time.monotonic() + 3 * LATENCY_SECONDS
    while len(seen_at) < len(bodies):
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(seen_at)} of {len(bodies)} records were answered")
        answer = kinesis.get_records(ShardIterator=iterator)
        now = time.monotonic()
        for record in answer["Records"]:
            result = json.loads(record["Data"])
            seen_at.setdefault((result["shard_id"], result["sequence_number"]), now)
        iterator = answer["NextShardIterator"]
        time.sleep(0.02)
    putting.join()
    return [seen_at[place] - at for place, at in put_at.items()]


def _put_evenly(
    kinesis: "KinesisClient", bodies: list[bytes], put_at: dict[tuple[str, str], float]
) -> None:
    started = time.monotonic()
    for number, body in enumerate(bodies):
        time.sleep(max(0.0, started + number / RATE - time.monotonic()))
        answer = kinesis.put_record(StreamName="predictions", PartitionKey=str(number), Data=body)
        put_at[answer["ShardId"], answer["SequenceNumber"]] = time.monotonic()


def plain_loop(
    kinesis: "KinesisClient",
    records: int,
    results: str | None = None,
    store: "Collection[dict[str, Any]] | None" = None,
) -> float:
    """Return the throughput, in records per second, of a loop in one thread.

    The loop reads the stream from its start until it has read `records` records. It creates the
    stream `results` and answers to it, and stores each record in `store`, where these are given.
    """
    if results:
        kinesis.create_stream(StreamName=results, ShardCount=1)
    iterators = {}
    for shard in kinesis.list_shards(StreamName="predictions")["Shards"]:
        iterators[shard["ShardId"]] = kinesis.get_shard_iterator(
            StreamName="predictions", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
    count, started = 0, time.monotonic()
    while count < records:
        for shard_id, iterator in iterators.items():
            answer = kinesis.get_records(ShardIterator=iterator, Limit=2000)
            iterators[shard_id] = answer["NextShardIterator"]
            found = answer["Records"]
            count += len(found)
            entries: list[PutRecordsRequestEntryTypeDef] = [
                {"PartitionKey": r["SequenceNumber"], "Data": b"x" * ANSWER_BYTES} for r in found
            ]
            for start in range(0, len(found), 500):
                if results:
                    kinesis.put_records(StreamName=results, Records=entries[start : start + 500])
                if store is not None:
                    store.insert_many([json.loads(r["Data"]) for r in found[start : start + 500]])
    return count / (time.monotonic() - started)


def answer_all(server: StreamServer, records: int) -> tuple[float, float]:
    """Return records per second until all are answered, and the CPU time of each in microseconds.

    Records and time count from the end of the first batch.
    """
    process = psutil.Process(server.process.pid)
    wait_until(lambda: _answered(server) > 0, "the first batch")
    first, started, spent = _answered(server), time.monotonic(), sum(process.cpu_times()[:2])
    wait_until(lambda: _answered(server) >= records, "the backlog is answered", 600)
    seconds, spent = time.monotonic() - started, sum(process.cpu_times()[:2]) - spent
    return (records - first) / seconds, spent / (records - first) * 1e6


def answer_and_store(server: StreamServer, keeper: LogKeeper, records: int) -> tuple[float, float]:
    """Return records per second until all are answered, and until all are stored."""
    wait_until(lambda: _answered(server) > 0, "the first batch")
    first, started = _answered(server), time.monotonic()
    wait_until(lambda: _answered(server) >= records, "the backlog is answered", 600)
    answered = time.monotonic() - started
    wait_until(lambda: keeper.metric("mlstack_spool_records") == 0, "it is stored", 600)
    stored = time.monotonic() - started
    return (records - first) / answered, (records - first) / stored


def _answered(server: StreamServer) -> float:
    return server.metric("mlstack_stream_records_total", outcome="answered")


if __name__ == "__main__":
    main()
