"""The stream server with its state in a folder, and the ledger of its records."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.prediction_log.mongo_database import DATABASE, PREDICTIONS
from mlstack.settings import ROOT
from tests.support.aws import Put, StreamTail, put
from tests.support.service_process import ServiceProcess
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


def customers(contract: Contract, count: int) -> list[bytes]:
    """Draw valid records."""
    generator = CustomerGenerator(contract, seed=3)
    return [json.dumps(customer).encode() for customer in generator.draw(count)]


class StreamServer(ServiceProcess):
    """The stream server of a state folder; see `ServiceProcess`."""

    stop_seconds = 10

    def __init__(self, state: Path, **settings: str) -> None:
        super().__init__("server.serve_kinesis", "STREAM_METRICS_PORT", state, **settings)
        self.heartbeat = state / "stream" / f"heartbeat-{os.uname().nodename}-{self.port}"

    def another(self) -> "StreamServer":
        """Make a second instance with the same settings."""
        server = StreamServer(self.state)
        server.environment = self.environment | {"STREAM_METRICS_PORT": str(server.port)}
        return server

    def __enter__(self) -> Self:
        self.start()
        try:
            wait_until(self.answers, f"the server answers; {self.log}")
        except BaseException:
            self.kill()
            raise
        return self

    def shards(self) -> int:
        """Count the shards that it reads."""
        return self.exposition().count("mlstack_stream_lag_seconds{")

    def is_healthy(self) -> bool:
        """Run its health check."""
        check = subprocess.run(
            [sys.executable, "-m", "mlstack.heartbeat", "stream_server"],
            cwd=ROOT,
            env=self.environment,
            timeout=30,
            check=False,
        )
        return check.returncode == 0


class Ledger:
    """Comparison of acknowledged records with stored predictions and published results.

    Args:
        client: Of the emulator.
        mongo_uri: Where predictions are kept.
    """

    def __init__(self, client: "KinesisClient", mongo_uri: str) -> None:
        self._mongo_uri = mongo_uri
        self._results = StreamTail(client, "results")
        self._letters = StreamTail(client, "predictions-dead-letter")

    def results(self) -> list[dict[str, Any]]:
        """Read every published result, in order."""
        return [json.loads(record["Data"]) for record in self._results.read()]

    def letters(self) -> list[dict[str, Any]]:
        """Read every published dead letter, in order."""
        return [json.loads(record["Data"]) for record in self._letters.read()]

    def stored(self) -> dict[Put, dict[str, Any]]:
        """Read every stored prediction, by its record."""
        with MongoClient[dict[str, Any]](self._mongo_uri) as client:
            documents = list(client[DATABASE][PREDICTIONS].find({"source": "kinesis"}))
        found = {Put(d["shard_id"], d["sequence_number"]): d for d in documents}
        assert len(found) == len(documents), "a record is stored twice"
        return found

    def _count(self) -> int:
        with MongoClient[dict[str, Any]](self._mongo_uri) as client:
            return client[DATABASE][PREDICTIONS].count_documents({"source": "kinesis"})

    def check(self, good: Iterable[Put], poison: Iterable[Put] = (), seconds: float = 60) -> None:
        """Wait until all is stored and published, then compare it with what was put."""
        good, poison = set(good), set(poison)

        def complete() -> bool:
            results = {where(result) for result in self.results()}
            letters = {where(letter) for letter in self.letters()}
            return good <= results and poison <= letters and self._count() >= len(good)

        try:
            wait_until(complete, "every record is dealt with", seconds)
        finally:
            results, letters = Counter(map(where, self.results())), set(map(where, self.letters()))
            stored = self.stored()
            assert good - stored.keys() == set(), "acknowledged and not stored"
            assert stored.keys() - good == set(), "stored and never put, or poison"
            assert poison - letters == set(), "poison that is no dead letter"
            assert letters - poison == set(), "a dead letter that is no poison"
            assert good - results.keys() == set(), "acknowledged and never answered"
            assert results.keys() - good == set(), "answered and never put, or poison"
        for result in self.results():
            document = stored[where(result)]
            assert (result["prediction_id"], result["churn chance"], result["model_run_id"]) == (
                document["_id"],
                document["prediction"],
                document["model_run_id"],
            )

    def duplicates(self) -> int:
        """Count the results beyond the first one of a record."""
        return sum(count - 1 for count in Counter(map(where, self.results())).values())


def where(document: dict[str, Any]) -> Put:
    """Find the record that a result or a dead letter belongs to."""
    return Put(document["shard_id"], document["sequence_number"])


def whole(letters: Iterable[dict[str, Any]]) -> bytes:
    """Join the raw bytes of a record's dead letters."""
    parts = {letter["part"]: base64.b64decode(letter["data"]) for letter in letters}
    return b"".join(parts[number] for number in sorted(parts))


class Load:
    """Producer of at most `rate` customers a second, until the block ends."""

    def __init__(self, client: "KinesisClient", contract: Contract, rate: float = 200) -> None:
        self.puts: list[Put] = []
        self._client, self._bodies = client, customers(contract, 10)
        self._pause = len(self._bodies) / rate
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End it once what is being put is acknowledged."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._pause):
            self.puts += put(self._client, self._bodies)
