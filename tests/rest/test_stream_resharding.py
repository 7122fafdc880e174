"""Shards that split and merge under load, on the emulator kinesis-local."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlstack.contract import Contract
from tests.support.aws import Emulator, put
from tests.support.kinesis_local import (
    assert_parents_first,
    kinesis_local,
    merge_first,
    shards,
    split_first,
)
from tests.support.stream_server import Ledger, Load, StreamServer, customers
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient


@pytest.fixture
def emulator(kinesis_local_program: Path, tmp_path: Path) -> Emulator:
    return kinesis_local(tmp_path, kinesis_local_program)


def test_resharding_under_load_reads_parents_first(
    server: StreamServer, kinesis: "KinesisClient", mongo: str, documented: Contract
) -> None:
    """Split and merged shards lose nothing."""
    ledger = Ledger(kinesis, mongo)
    with server, Load(kinesis, documented) as load:
        wait_until(lambda: len(load.puts) > 100, "records come")
        split_first(kinesis)
        wait_until(lambda: len(load.puts) > 300, "more records come")
        server.kill()
        merge_first(kinesis)
        wait_until(lambda: len(load.puts) > 500, "more records come")
        with server:
            merge_first(kinesis)
            wait_until(lambda: len(load.puts) > 700, "more records come")
            load.end()
            ledger.check(load.puts)
    assert len(shards(kinesis)) == 6
    assert len({p.shard_id for p in load.puts}) == 6, "every shard had records"
    assert_parents_first(kinesis, ledger.results())


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
