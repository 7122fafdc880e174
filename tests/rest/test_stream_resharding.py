"""Shards that split and merge under load, on the emulator kinesis-local."""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlstack.contract import Contract
from tests.support.aws import Emulator, is_active, put
from tests.support.stream_server import Ledger, Load, StreamServer, customers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

PACKAGE = "kinesis-local@0.6.2"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install kinesis-local for these tests."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        pytest.skip("kinesis-local needs node and npm: neither is installed here")
    folder = tmp_path_factory.mktemp("kinesis-local")
    # Where no registry answers, npm would try again for minutes.
    command = [npm, "install", "--fetch-retries=0", "--prefix", str(folder), PACKAGE]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"npm cannot install {PACKAGE}: {error.stderr[-300:]}")
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm cannot install {PACKAGE}: no answer from its registry within 120 s")
    return folder / "node_modules" / "kinesis-local" / "main.js"


@pytest.fixture
def emulator(program: Path, tmp_path: Path) -> Emulator:
    node = shutil.which("node")
    assert node
    environment = {
        "KINESIS_MOCK_PLAIN_PORT": "{port}",
        "KINESIS_MOCK_TLS_PORT": "0",
        "KINESIS_MOCK_CERT_PATH": str(program.with_name("server.json")),
    }
    return Emulator(tmp_path, (node, str(program)), environment)


def shards(kinesis: "KinesisClient") -> dict[str, "ShardTypeDef"]:
    listed = kinesis.list_shards(StreamName="predictions")["Shards"]
    return {shard["ShardId"]: shard for shard in listed}


def split(kinesis: "KinesisClient", shard_id: str) -> None:
    keys = shards(kinesis)[shard_id]["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    kinesis.split_shard(
        StreamName="predictions", ShardToSplit=shard_id, NewStartingHashKey=str(middle)
    )
    wait_until(lambda: is_active(kinesis, "predictions"), "the shard is split")


def merge_first(kinesis: "KinesisClient") -> None:
    """Merge the two open shards with the lowest keys."""
    opened = [shard for shard in shards(kinesis).values() if _is_open(shard)]
    opened.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
    lower, upper = (shard["ShardId"] for shard in opened[:2])
    kinesis.merge_shards(StreamName="predictions", ShardToMerge=lower, AdjacentShardToMerge=upper)
    wait_until(lambda: is_active(kinesis, "predictions"), "the shards are merged")


def test_resharding_under_load_reads_parents_first(
    server: StreamServer, kinesis: "KinesisClient", mongo: str, documented: Contract
) -> None:
    """Split and merged shards lose nothing."""
    ledger = Ledger(kinesis, mongo)
    with server, Load(kinesis, documented) as load:
        wait_until(lambda: len(load.puts) > 100, "records come")
        split(kinesis, min(shards(kinesis)))
        wait_until(lambda: len(load.puts) > 300, "more records come")
        server.kill()
        merge_first(kinesis)
        wait_until(lambda: len(load.puts) > 500, "more records come")
        with server:
            merge_first(kinesis)
            wait_until(lambda: len(load.puts) > 700, "more records come")
            load.end()
            ledger.check(load.puts)
    listed = shards(kinesis)
    assert len(listed) == 6
    assert len({p.shard_id for p in load.puts}) == 6, "every shard had records"
    order = [result["shard_id"] for result in ledger.results()]
    last = {shard_id: place for place, shard_id in enumerate(order)}
    for shard_id, shard in listed.items():
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent:
                assert last[parent] < order.index(shard_id), (parent, shard_id)


def test_unknown_sequence_number_is_noticed(
    server: StreamServer, kinesis: "KinesisClient", mongo: str, documented: Contract
) -> None:
    """The file of checkpoints says another number than the stream has ever given."""
    ledger = Ledger(kinesis, mongo)
    with server:
        before = put(kinesis, customers(documented, 100))
        ledger.check(before)
    (file,) = (server.state / "stream").glob("*.checkpoints.json")
    text = file.read_text()
    for record in before:
        text = text.replace(record.sequence_number, "1")
    file.write_text(text)
    with server:
        ledger.check([*before, *put(kinesis, customers(documented, 100))])
        assert server.metric("mlstack_stream_checkpoint_lost_total") == 2
    assert "is lost" in server.log.read_text()


def _is_open(shard: "ShardTypeDef") -> bool:
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]
