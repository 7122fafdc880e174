"""Emulators of Kinesis on free ports of the loopback interface."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mlstack.settings import ROOT
from tests.support.ports import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import PutRecordsRequestEntryTypeDef, RecordTypeDef

KEYS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Put:
    """Shard and sequence number of an acknowledged record."""

    shard_id: str
    sequence_number: str


class Emulator:
    """An emulator of AWS; a context manager that ends it. It forgets everything then.

    Args:
        folder: For its log.
        command: Starts it; `{port}` is the port.
        environment: More variables.
    """

    def __init__(self, folder: Path, command: Sequence[str], environment: dict[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / f"emulator-{self.port}.log"
        self._command = [word.format(port=self.port) for word in command]
        self._environment = {k: v.format(port=self.port) for k, v in environment.items()}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        try:
            wait_until(self._answers, f"the emulator answers; {self._log}")
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it; it forgets everything."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def client(self) -> "KinesisClient":
        """Make a client."""
        config = Config(connect_timeout=2, read_timeout=60, retries={"total_max_attempts": 1})
        client: KinesisClient = aws_client("kinesis", self.port, config)
        return client

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that lead a process to it."""
        return {**KEYS, "AWS_ENDPOINT_URL": self.url}

    def make_streams(self, shards: int = 2) -> "KinesisClient":
        """Make the streams; return a client."""
        client = self.client()
        names = {"predictions": shards, "results": 1, "predictions-dead-letter": 1}
        for name, count in names.items():
            client.create_stream(StreamName=name, ShardCount=count)
        wait_until(lambda: all(is_active(client, name) for name in names), "the streams are there")
        return client

    def _answers(self) -> bool:
        try:
            self.client().list_streams()
        except (BotoCoreError, ClientError):
            return False
        return True


def aws_client(service: Any, port: int, config: Config | None = None) -> Any:
    """Make a boto3 client of an emulator's port on this machine."""
    return boto3.client(
        service,
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_DEFAULT_REGION"],
        config=config,
    )


def moto(folder: Path) -> Emulator:
    """Make an emulator out of moto, which answers one request at a time."""
    command = (sys.executable, "-m", "operations.embedded.aws_emulator", "127.0.0.1", "{port}")
    return Emulator(folder, command, {"PATH": "/usr/bin:/bin"})


def is_active(client: "KinesisClient", name: str) -> bool:
    """Say whether a stream can be used."""
    summary = client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
    return summary["StreamStatus"] == "ACTIVE"


def put(client: "KinesisClient", bodies: Sequence[bytes], hash_key: int | None = None) -> list[Put]:
    """Put records, spread over the shards or all into the one of the hash key."""
    puts = []
    for start in range(0, len(bodies), 250):
        entries: list[PutRecordsRequestEntryTypeDef] = []
        for number, body in enumerate(bodies[start : start + 250]):
            entry: PutRecordsRequestEntryTypeDef = {
                "PartitionKey": f"{time.time_ns()}-{number}",
                "Data": body,
            }
            if hash_key is not None:
                entry["ExplicitHashKey"] = str(hash_key)
            entries.append(entry)
        answer = client.put_records(StreamName="predictions", Records=entries)
        assert answer.get("FailedRecordCount", 0) == 0, answer
        puts += [Put(r["ShardId"], r["SequenceNumber"]) for r in answer["Records"]]
    return puts


class StreamTail:
    """Reader of a whole stream, which goes on at every call.

    Args:
        client: Of the stream's emulator.
        name: The stream's name.
    """

    def __init__(self, client: "KinesisClient", name: str) -> None:
        self._client, self._name = client, name
        self._iterators: dict[str, str | None] = {}
        self.records: list[RecordTypeDef] = []

    def read(self) -> list["RecordTypeDef"]:
        """Read every shard to its end; return all records so far, in order per shard."""
        for shard in self._client.list_shards(StreamName=self._name)["Shards"]:
            shard_id = shard["ShardId"]
            if shard_id not in self._iterators:
                self._iterators[shard_id] = self._client.get_shard_iterator(
                    StreamName=self._name, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
                )["ShardIterator"]
            while iterator := self._iterators[shard_id]:
                answer = self._client.get_records(ShardIterator=iterator, Limit=5000)
                self._iterators[shard_id] = answer.get("NextShardIterator")
                self.records += answer["Records"]
                if not answer["Records"]:
                    break
        return self.records


@contextmanager
def running(emulator: Emulator) -> Iterator["KinesisClient"]:
    """Run an emulator with the project's streams until the block ends."""
    with emulator:
        yield emulator.make_streams()
