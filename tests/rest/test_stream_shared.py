"""Three stream servers on kcl-rs share the shards, and lose nothing when they die."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlstack.contract import Contract
from tests.support.aws import Emulator, moto
from tests.support.keeper import LogKeeper
from tests.support.kinesis_local import assert_parents_first, kinesis_local, shards, split_first
from tests.support.stream_fleet import Fleet
from tests.support.stream_server import Ledger, Load, StreamServer

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

# Half a minute to the first record, and leases that expire before they move.
pytestmark = pytest.mark.timeout(600)
SERVERS, SHARDS = 3, 3


@pytest.fixture
def emulator(kinesis_local_program: Path, tmp_path: Path) -> Emulator:
    return kinesis_local(tmp_path, kinesis_local_program)


@pytest.fixture
def kinesis(emulator: Emulator) -> Iterator["KinesisClient"]:
    with emulator:
        yield emulator.make_streams(SHARDS)


@pytest.fixture
def server(
    deployed: Path,
    emulator: Emulator,
    keeper: LogKeeper,  # noqa: ARG001 - it runs
    tmp_path: Path,
) -> Iterator[StreamServer]:
    """An instance that does not run yet; moto has the leases."""
    with moto(tmp_path) as leases:
        settings = {**leases.environment, "AWS_ENDPOINT_URL_KINESIS": emulator.url}
        yield StreamServer(deployed, STREAM_ENGINE="kcl", **settings)


def test_shared_shards_survive_deaths_and_a_split(
    server: StreamServer, kinesis: "KinesisClient", mongo: str, documented: Contract
) -> None:
    """Instances die at random moments, and a shard splits meanwhile; each record counts once.

    `python -m benchmarks.stream_sharing` is the long form.
    """
    ledger, fleet = Ledger(kinesis, mongo), Fleet(server, SERVERS, random.Random())
    with fleet, Load(kinesis, documented) as load:
        fleet.wait_until_shared(SHARDS)
        fleet.kill_one(5, meanwhile=lambda: split_first(kinesis))
        fleet.kill_one(5)
        load.end()
        ledger.check(load.puts, seconds=120)
    assert len(shards(kinesis)) == SHARDS + 2
    assert_parents_first(kinesis, ledger.results())
