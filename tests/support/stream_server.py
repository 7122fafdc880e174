"""The stream server with its state in a folder, and the ledger of its records."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from tests.support.aws import Put, StreamTail, put
from tests.support.metrics import sample_sum
from tests.support.ports import free_port
from tests.support.server_environment import server_environment
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

RUN_ID = "a" * 32
"""Of the model that is deployed."""

_STOP_SECONDS = 10


def customers(contract: Contract, count: int) -> list[bytes]:
    """Draw valid records."""
    generator = CustomerGenerator(contract, seed=3)
    return [json.dumps(customer).encode() for customer in generator.draw(count)]


class StreamServer:
    """A running server; the context manager ends it, and may be entered again.

    Args:
        state: Its state folder.
        settings: More settings, as environment variables.
    """

    def __init__(self, state: Path, **settings: str) -> None:
        self.port = free_port()
        self.state = state
        self.heartbeat = state / "stream" / f"heartbeat-{os.uname().nodename}-{self.port}"
        self.log = state / f"stream-server-{self.port}.log"
        self.environment = server_environment(state, STREAM_METRICS_PORT=str(self.port), **settings)

    def another(self) -> "StreamServer":
        """Make a second instance with the same settings."""
        server = StreamServer(self.state)
        server.environment = self.environment | {"STREAM_METRICS_PORT": str(server.port)}
        return server

    def start(self, **environment: str) -> Self:
        """Start it; return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server.serve_kinesis"],
                cwd=ROOT,
                env=self.environment | environment,
                stdout=log,
                stderr=log,
            )
        return self

    def __enter__(self) -> Self:
        self.start()
        try:
            wait_until(self.answers, f"the server answers; {self.log}")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            try:
                self.stop()
            finally:
                self.kill()

    def stop(self) -> int:
        """Tell it to stop and wait; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)

    def kill(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()

    def answers(self) -> bool:
        """Say whether it runs and shows its metrics."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log.read_text()}")
        try:
            self.exposition()
        except (urllib.error.URLError, OSError):
            return False
        return True

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

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels."""
        return sample_sum(self.exposition(), name, **labels)

    def exposition(self) -> str:
        """Read its metrics, as Prometheus does."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text


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
            documents = list(client[DATABASE]["data"].find({"source": "kinesis"}))
        found = {Put(d["shard_id"], d["sequence_number"]): d for d in documents}
        assert len(found) == len(documents), "a record is stored twice"
        return found

    def _count(self) -> int:
        with MongoClient[dict[str, Any]](self._mongo_uri) as client:
            return client[DATABASE]["data"].count_documents({"source": "kinesis"})

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
    """Producer of at most two hundred customers a second, until the block ends."""

    def __init__(self, client: "KinesisClient", contract: Contract) -> None:
        self.puts: list[Put] = []
        self._client, self._bodies = client, customers(contract, 10)
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
        while not self._ending.wait(0.05):
            self.puts += put(self._client, self._bodies)
