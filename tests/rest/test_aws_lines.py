"""The documented shell lines: a record in, its answer out."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlstack.settings import ROOT
from tests.support.aws import Emulator, running
from tests.support.models import RUN_ID
from tests.support.readme import commands_of
from tests.support.stream_server import StreamServer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

LINES = commands_of(ROOT / "README.md")
KEYS, PUT_RECORD, GET_SHARD_ITERATOR, GET_RECORDS = (
    next(line for line in LINES if line.startswith(beginning))
    for beginning in (
        "export AWS_DEFAULT_REGION=",
        "aws kinesis put-record ",
        "aws kinesis get-shard-iterator ",
        "aws kinesis get-records ",
    )
)
DATA = PUT_RECORD.split('--data "')[1].rstrip('"')
_INSTALL_SECONDS = 240


@pytest.fixture(scope="module")
def awscli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with version 1 of the command, in an environment of its own.

    Its pins conflict with ours, and PyPI does not have version 2.
    """
    folder = tmp_path_factory.mktemp("awscli")
    uv = str(Path(sys.executable).with_name("uv"))
    try:
        for command in (
            [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
            [uv, "pip", "install", "--quiet", "--python", str(folder), "awscli<2"],
        ):
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS
            )
    except subprocess.CalledProcessError as error:
        pytest.skip(f"awscli cannot be installed: {error.stderr[-500:]}")
    except (OSError, subprocess.TimeoutExpired) as error:
        pytest.skip(f"awscli cannot be installed: {error}")
    return folder / "bin"


@pytest.fixture
def kinesis(emulator: Emulator, server: StreamServer) -> Iterator["KinesisClient"]:
    """A client of streams that are served."""
    with running(emulator) as client, server:
        yield client


@pytest.fixture
def shell(awscli: Path, emulator: Emulator, tmp_path: Path) -> Callable[[str], Any]:
    """Runs a documented line on the test's emulator; returns the JSON that it printed."""

    def run(line: str) -> Any:
        assert "localhost:4566" in line
        address = f"127.0.0.1:{emulator.port}"
        done = subprocess.run(
            ["/bin/sh", "-c", f"{KEYS}\n{line}".replace("localhost:4566", address)],
            # No AWS profile of this machine's user is read.
            env={"PATH": f"{awscli}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def check_answer(records: list[Any]) -> None:
    """Check that the only record is the documented answer."""
    (record,) = records
    answer = json.loads(record)
    assert 0 <= answer["churn chance"] <= 1
    assert answer["model_run_id"] == RUN_ID
    assert re.fullmatch(r"shardId-\d{12}", answer["shard_id"])
    assert answer.keys() == {
        *("churn chance", "model_run_id", "prediction_id", "shard_id", "sequence_number"),
    }


@pytest.mark.usefixtures("kinesis")
def test_documented_lines_work_with_version_1(shell: Callable[[str], Any]) -> None:
    """It encodes the data once more, so the record is base64 of the customer."""
    put = shell(PUT_RECORD)
    iterator = shell(GET_SHARD_ITERATOR)
    found: list[bytes] = []

    def answered() -> bool:
        answer = shell(GET_RECORDS.replace("{SHARD_ITERATOR_HERE}", iterator))
        found[:] = [base64.b64decode(record["Data"]) for record in answer["Records"]]
        return bool(found)

    wait_until(answered, "the record is answered")
    check_answer(found)
    answer = json.loads(found[0])
    assert (answer["shard_id"], answer["sequence_number"]) == (
        put["ShardId"],
        put["SequenceNumber"],
    )


def test_documented_data_works_with_version_2(kinesis: "KinesisClient") -> None:
    """It decodes the data, so the record is the customer as JSON."""
    kinesis.put_record(StreamName="predictions", PartitionKey="1", Data=base64.b64decode(DATA))
    iterator = kinesis.get_shard_iterator(
        ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON", StreamName="results"
    )["ShardIterator"]
    found: list[bytes] = []

    def answered() -> bool:
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        found[:] = [record["Data"] for record in records]
        return bool(found)

    wait_until(answered, "the record is answered")
    check_answer(found)


def test_both_versions_get_the_same_answer(kinesis: "KinesisClient") -> None:
    """Encoded once or twice, a customer has the same chance."""
    for data in (DATA.encode(), base64.b64decode(DATA)):
        kinesis.put_record(StreamName="predictions", PartitionKey="1", Data=data)
    iterator = kinesis.get_shard_iterator(
        ShardId="shardId-000000000000", ShardIteratorType="TRIM_HORIZON", StreamName="results"
    )["ShardIterator"]
    found: list[Any] = []

    def answered() -> bool:
        records = kinesis.get_records(ShardIterator=iterator)["Records"]
        found[:] = [json.loads(record["Data"]) for record in records]
        return len(found) == 2

    wait_until(answered, "both records are answered")
    assert found[0]["churn chance"] == found[1]["churn chance"]
    assert found[0]["prediction_id"] != found[1]["prediction_id"]
