"""The stream simulator, with real streams and a real server."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mlstack.contract import Contract
from tests.support.aws import Emulator, StreamTail, put, running
from tests.support.http_double import HttpDouble
from tests.support.simulator import Simulator
from tests.support.stream_server import Ledger, StreamServer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

NAME = "send_data_kinesis"


@pytest.fixture
def double(documented: Contract) -> Iterator[HttpDouble]:
    with HttpDouble(documented) as double:
        yield double


def simulator(folder: Path, emulator: Emulator, double: HttpDouble, *arguments: str) -> Simulator:
    settings = {
        "API_URL": double.url,
        "SIMULATION_OUTCOME_SHARE": "1",
        "SIMULATION_OUTCOME_SECONDS": "0",
        **emulator.environment,
    }
    return Simulator(NAME, folder / "simulation", *arguments, **settings)


def test_once_reports_the_outcome_of_every_record(
    *,
    tmp_path: Path,
    emulator: Emulator,
    kinesis: "KinesisClient",
    server: StreamServer,
    double: HttpDouble,
    mongo: str,
) -> None:
    """`--once` waits until each of its records is answered."""
    once = simulator(tmp_path, emulator, double, "--once", "--rate", "36000")
    with server:
        assert once.run() == 0
    (batch,) = once.batches()
    assert (batch["sent"], batch["answered"], batch["refused"]) == (600, 600, 0)
    assert (batch["waiting"], batch["missing"]) == (0, 0)
    assert 0 < batch["prediction_mean"] < 1
    assert 0 < batch["p50_ms"] <= batch["p99_ms"] < 30_000
    ids = {result["prediction_id"] for result in Ledger(kinesis, mongo).results()}
    assert len(ids) == 600
    assert double.book.outcomes.keys() == ids


def _answered(business: Simulator, count: float) -> bool:
    return business.total("answered") > count


def test_results_of_other_senders_are_passed_over(
    tmp_path: Path,
    emulator: Emulator,
    kinesis: "KinesisClient",
    server: StreamServer,
    double: HttpDouble,
) -> None:
    """Results from before and from others, and things that are no results, are passed over."""
    oddities = [b"", b"\xff", b"[1]", b'{"churn chance": 0.5}', b'{"churn chance": true, "a": 1}']
    for stream in ("results", "predictions-dead-letter"):
        for body in oddities[1:]:
            kinesis.put_record(StreamName=stream, Data=body, PartitionKey="1")
    put(kinesis, [b'{"not": "a customer"}'])
    with server, simulator(tmp_path, emulator, double, "--rate", "600") as business:
        wait_until(business.batches, "the first batch is said")
        for stream in ("results", "predictions-dead-letter"):
            for body in oddities[1:]:
                kinesis.put_record(StreamName=stream, Data=body, PartitionKey="1")
        put(kinesis, [b'{"not": "a customer"}'])
        seen = len(business.batches())
        wait_until(lambda: len(business.batches()) > seen + 2, "it goes on")
        assert business.stop() == 0
    assert business.total("refused") == 0
    assert "Traceback" not in business.said()


def test_simulator_survives_a_restart_of_the_emulator(
    tmp_path: Path, emulator: Emulator, server: StreamServer, double: HttpDouble
) -> None:
    """The emulator forgets everything; streams of the same names are made again."""
    business = simulator(tmp_path, emulator, double, "--rate", "600")
    with server, business:
        for _ in range(3):
            enough = business.total("answered") + 20
            with running(emulator) as client:
                wait_until(partial(_answered, business, enough), "its records are answered")
                tail = StreamTail(client, "results")
                assert tail.read()
            if server.process.poll() is None:
                server.kill()
                server.start()
        with running(emulator):
            assert business.stop() == 0
    assert business.total("refused") == 0
    assert "works again" in business.said()
    assert double.book.outcomes


def test_stop_is_prompt_while_kinesis_is_away(
    tmp_path: Path, emulator: Emulator, double: HttpDouble
) -> None:
    """It ends in order."""
    with simulator(tmp_path, emulator, double) as business:
        wait_until(lambda: "trying again" in business.said(), "it waits for the streams")
        wait_until(lambda: business.heartbeat().exists(), "it beats")
        assert business.stop() == 0
    assert not business.heartbeat().exists()
