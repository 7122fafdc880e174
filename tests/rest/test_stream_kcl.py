"""One stream server on kcl-rs, which leases its shards in DynamoDB."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlstack.contract import Contract
from tests.support.aws import Emulator, put, running
from tests.support.keeper import LogKeeper
from tests.support.stream_server import Ledger, Load, StreamServer, customers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

# Half a minute to the first record.
pytestmark = pytest.mark.timeout(600)
_START_SECONDS = 120


@pytest.fixture
def server(deployed: Path, emulator: Emulator, keeper: LogKeeper) -> StreamServer:  # noqa: ARG001 - it runs
    """A stream server that does not run yet; its keeper does."""
    return StreamServer(deployed, STREAM_ENGINE="kcl", **emulator.environment)


def answered(server: StreamServer) -> float:
    return server.metric("mlstack_stream_records_total", outcome="answered")


def test_kcl_restart_loses_and_repeats_nothing(
    server: StreamServer, kinesis: "KinesisClient", mongo: str, documented: Contract
) -> None:
    """A stopped server goes on where it was."""
    ledger = Ledger(kinesis, mongo)
    with Load(kinesis, documented) as load:
        with server:
            wait_until(lambda: answered(server) > 200, "it works", _START_SECONDS)
            assert server.stop() == 0
        with server:
            wait_until(lambda: answered(server) > 200, "it works again", _START_SECONDS)
            load.end()
            ledger.check([*load.puts, *put(kinesis, customers(documented, 10))], seconds=90)
    assert ledger.duplicates() == 0


def test_kcl_notices_a_stream_made_anew(
    server: StreamServer, emulator: Emulator, documented: Contract, mongo: str
) -> None:
    """It is read from its start, under its own name."""
    with running(emulator) as client, server:
        wait_until(lambda: server.shards() == 2, "it reads", _START_SECONDS)
        old = put(client, customers(documented, 50))
        wait_until(lambda: answered(server) == 50, "it works", _START_SECONDS)
        emulator.kill()
        with running(emulator) as new_client:
            put(new_client, customers(documented, 80))
            wait_until(lambda: answered(server) == 130, "it works again", _START_SECONDS)
            assert len(Ledger(new_client, mongo).results()) == 80
            assert server.metric("mlstack_stream_checkpoint_lost_total") == 1
    assert len(old) == 50
    assert "was recreated" in server.log.read_text()


def test_kcl_stop_is_prompt_without_aws(
    server: StreamServer, emulator: Emulator, documented: Contract
) -> None:
    """It ends in order."""
    with running(emulator) as client, server:
        put(client, customers(documented, 50))
        wait_until(lambda: answered(server) == 50, "it works", _START_SECONDS)
        emulator.kill()
        assert server.stop() == 0
