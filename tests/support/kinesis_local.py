"""kinesis-local, an emulator of Kinesis whose shards split, merge and end."""

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.aws import Emulator, is_active
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

PACKAGE = "kinesis-local@0.6.2"
_INSTALL_SECONDS = 120


class NotInstalled(Exception):
    """It cannot be installed here."""


def install(folder: Path) -> Path:
    """Install it; return its program. Raises NotInstalled with the reason."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        raise NotInstalled("kinesis-local needs node and npm: neither is installed here")
    # Where no registry answers, npm would try again for minutes.
    command = [npm, "install", "--fetch-retries=0", "--prefix", str(folder), PACKAGE]
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=_INSTALL_SECONDS
        )
    except subprocess.CalledProcessError as error:
        raise NotInstalled(f"npm cannot install {PACKAGE}: {error.stderr[-300:]}") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(
            f"npm cannot install {PACKAGE}: no answer within {_INSTALL_SECONDS} s"
        ) from error
    return folder / "node_modules" / "kinesis-local" / "main.js"


def kinesis_local(folder: Path, program: Path) -> Emulator:
    """Make an emulator out of an installed one; its log goes to the folder."""
    node = shutil.which("node")
    assert node
    environment = {
        "KINESIS_MOCK_PLAIN_PORT": "{port}",
        "KINESIS_MOCK_TLS_PORT": "0",
        "KINESIS_MOCK_CERT_PATH": str(program.with_name("server.json")),
    }
    return Emulator(folder, (node, str(program)), environment)


def shards(kinesis: "KinesisClient") -> dict[str, "ShardTypeDef"]:
    """Describe the shards of `predictions`, closed ones too, by id."""
    listed = kinesis.list_shards(StreamName="predictions")["Shards"]
    return {shard["ShardId"]: shard for shard in listed}


def split_first(kinesis: "KinesisClient") -> None:
    """Split the open shard with the lowest keys."""
    shard = _open_shards(kinesis)[0]
    keys = shard["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    kinesis.split_shard(
        StreamName="predictions", ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )
    wait_until(lambda: is_active(kinesis, "predictions"), "the shard is split")


def merge_first(kinesis: "KinesisClient") -> None:
    """Merge the two open shards with the lowest keys."""
    lower, upper = (shard["ShardId"] for shard in _open_shards(kinesis)[:2])
    kinesis.merge_shards(StreamName="predictions", ShardToMerge=lower, AdjacentShardToMerge=upper)
    wait_until(lambda: is_active(kinesis, "predictions"), "the shards are merged")


def assert_parents_first(kinesis: "KinesisClient", results: list[dict[str, Any]]) -> None:
    """Check that no record was answered before all of its shard's parents."""
    order = [result["shard_id"] for result in results]
    last = {shard_id: place for place, shard_id in enumerate(order)}
    for shard_id, shard in shards(kinesis).items():
        for parent in (shard.get("ParentShardId"), shard.get("AdjacentParentShardId")):
            if parent in last and shard_id in last:
                assert last[parent] < order.index(shard_id), (parent, shard_id)


def _open_shards(kinesis: "KinesisClient") -> list["ShardTypeDef"]:
    """List the open shards by their keys."""
    return sorted(
        (
            s
            for s in shards(kinesis).values()
            if "EndingSequenceNumber" not in s["SequenceNumberRange"]
        ),
        key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]),
    )
