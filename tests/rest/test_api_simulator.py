"""The HTTP simulator, with a double of the server and with a real one."""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from mlstack.contract import Contract
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from tests.support.api_server import ApiServer
from tests.support.http_double import Fault, HttpDouble, status
from tests.support.keeper import LogKeeper
from tests.support.simulator import Simulator
from tests.support.waiting import wait_until

NAME = "send_data_api"


@pytest.fixture
def double(documented: Contract) -> HttpDouble:
    """It does not run yet."""
    return HttpDouble(documented)


def simulator(double: HttpDouble, folder: Path, *arguments: str, **settings: str) -> Simulator:
    outcomes = {"SIMULATION_OUTCOME_SHARE": "1", "SIMULATION_OUTCOME_SECONDS": "0"}
    settings = {"API_URL": double.url, **outcomes, **settings}
    return Simulator(NAME, folder / "state", *arguments, **settings)


def test_once_sends_one_batch_with_its_outcomes(double: HttpDouble, tmp_path: Path) -> None:
    """`--once` sends a batch and its outcomes, and succeeds."""
    once = simulator(double, tmp_path, "--once", "--rate", "3000", SIMULATION_OUTCOME_SECONDS="300")
    with double:
        assert once.run() == 0
    (batch,) = once.batches()
    assert (batch["sent"], batch["answered"], batch["refused"]) == (50, 50, 0)
    assert batch["prediction_mean"] == double.chance
    assert 0 < batch["p50_ms"] <= batch["p99_ms"]
    ids = {kept.prediction_id for kept in double.book.predictions.values()}
    assert double.book.outcomes.keys() == ids
    assert 0 < sum(double.book.outcomes.values()) < 30
    assert not once.heartbeat().exists()


def test_once_fails_when_a_customer_is_refused(double: HttpDouble, tmp_path: Path) -> None:
    """A refused customer makes `--once` fail."""
    with double:
        double.faults.append(status(422, b'{"detail": "no such customer"}'))
        once = simulator(double, tmp_path, "--once", "--rate", "300")
        assert once.run() == 1
    assert "HTTP 422: no such customer" in once.said()
    assert once.total("refused") == 1
    assert len(double.book.predictions) == 4


def test_same_seed_sends_the_same_customers(double: HttpDouble, tmp_path: Path) -> None:
    """They come under other keys, so that the server takes them for new ones."""
    with double:
        for _ in range(2):
            options = ("--once", "--rate", "600", "--seed", "7")
            assert simulator(double, tmp_path, *options).run() == 0
    customers = [kept.customer for kept in double.book.predictions.values()]
    assert len(customers) == 20
    assert customers[:10] == customers[10:]


def test_drift_changes_the_customers(double: HttpDouble, tmp_path: Path) -> None:
    """`--drift` sends customers that have changed."""
    drift = ("--drift", "limits_are_cut")
    with double:
        for more in ((), drift):
            options = ("--once", "--rate", "6000", "--seed", "7", *more)
            assert simulator(double, tmp_path, *options).run() == 0
    limits = [kept.customer["credit_limit"] for kept in double.book.predictions.values()]
    assert sum(limits[100:]) < 0.6 * sum(limits[:100])


@pytest.mark.parametrize(
    ("arguments", "settings", "sentence"),
    [
        (["--drift", "no_such"], {}, "there is no drift 'no_such'; choose from incomes_rise"),
        (["--rate", "0"], {}, "must be more than 0"),
        ([], {"API_URL": "nowhere"}, "API_URL='nowhere'"),
        ([], {"SIMULATION_SECONDS": "0"}, "SIMULATION_SECONDS='0'"),
    ],
)
def test_mistake_at_the_start_is_a_sentence(
    double: HttpDouble,
    tmp_path: Path,
    arguments: list[str],
    settings: dict[str, str],
    sentence: str,
) -> None:
    """A wrong option ends with one sentence and no stack trace."""
    wrong = simulator(double, tmp_path, *arguments, **settings)
    assert wrong.run() != 0
    assert sentence in wrong.said()
    assert "Traceback" not in wrong.said()


def _asked(double: HttpDouble, count: int) -> bool:
    return len(double.book.predictions) > count


def test_restarts_lose_and_repeat_no_customer(double: HttpDouble, tmp_path: Path) -> None:
    """The server goes in the middle of requests, some of which it has carried out."""
    with simulator(double, tmp_path, "--rate", "6000") as business:
        for _ in range(3):
            with double:
                enough = len(double.book.predictions) + 50
                double.faults.extend([Fault(kept=True, reset=True), status(503), Fault(reset=True)])
                wait_until(partial(_asked, double, enough), "it asks again")
                double.faults.append(Fault(kept=True, hang=True))
                wait_until(lambda: not double.faults, "the last request hangs")
        with double:
            batches = len(business.batches())
            wait_until(lambda: len(business.batches()) > batches + 1, "batches go on")
            wait_until(lambda: len(double.book.outcomes) > 100, "outcomes are reported")
            assert business.stop() == 0
    answered = {k.prediction_id for k in double.book.predictions.values() if k.answered}
    unanswered = len(double.book.predictions) - len(answered)
    assert unanswered <= 1, "only what was asked for when it was told to stop"
    assert all(kept.answered <= 1 for kept in double.book.predictions.values())
    assert business.total("answered") >= len(answered) - 1
    assert business.total("retries") >= 9
    assert double.book.outcomes.keys() <= answered
    assert "works again" in business.said()


def test_killed_workers_store_each_customer_once(
    tmp_path: Path,
    deployed: Path,
    mongo: str,
    keeper: LogKeeper,  # noqa: ARG001 - it runs
) -> None:
    """A real server stores each customer once, however often its workers die."""
    server = ApiServer(deployed)
    environment = {
        "API_URL": f"http://127.0.0.1:{server.port}",
        "SIMULATION_OUTCOME_SHARE": "1",
        "SIMULATION_OUTCOME_SECONDS": "0",
    }
    business = Simulator(NAME, tmp_path / "simulation", "--rate", "9000", **environment)
    with MongoClient[dict[str, Any]](mongo) as client:
        kept = client[DATABASE]["data"]
        with business:
            for _ in range(2):
                with server:
                    for _ in range(2):
                        enough = kept.count_documents({}) + 200
                        wait_until(partial(_more_than, kept, enough), "it asks")
                        for worker in server.workers():
                            worker.kill()
                # The whole server is away for a moment.
            with server:
                batches = len(business.batches())
                wait_until(lambda: len(business.batches()) > batches + 1, "batches go on")
                assert business.stop() == 0
                answered = business.total("answered")
                wait_until(lambda: kept.count_documents({}) >= answered, "all is kept")
                reported = business.total("outcomes_reported")
                known = {"target": {"$in": [0, 1]}, "prediction": {"$exists": True}}
                wait_until(lambda: kept.count_documents(known) >= reported, "outcomes are kept")
        # One may have been under way at the stop request.
        assert kept.count_documents({}) - answered in {0, 1}
    assert business.total("retries") > 0
    assert business.total("refused") == 0


@pytest.mark.parametrize("fault", [None, Fault(hang=True), status(503, Retry_After="30")])
def test_stop_is_prompt_whatever_is_waited_for(
    double: HttpDouble, tmp_path: Path, fault: Fault | None
) -> None:
    """A simulator ends in order within seconds."""
    settings = {"SIMULATION_SECONDS": "60"}
    with double, simulator(double, tmp_path, "--rate", "600", **settings) as business:
        if fault:
            double.faults.extend([fault] * 3)
        wait_until(lambda: double.book.requests, "it asks")
        if not fault:
            wait_until(business.batches, "it waits for the next batch")
        assert business.heartbeat().exists()
        begun = time.monotonic()
        assert business.stop() == 0
        assert time.monotonic() - begun < 6
    assert not business.heartbeat().exists()
    assert "shut down cleanly" in business.said()


def test_health_check_knows_whether_the_loop_turns(double: HttpDouble, tmp_path: Path) -> None:
    """An old heartbeat is unhealthy, and so is none."""

    def check() -> int:
        command = [sys.executable, "-m", "mlstack.heartbeat", NAME]
        return subprocess.run(
            command, cwd=ROOT, env={"STATE_DIR": str(tmp_path / "state")}, check=False
        ).returncode

    with double, simulator(double, tmp_path) as business:
        wait_until(lambda: business.heartbeat().exists(), "it beats")
        assert check() == 0
        boot, _, at = business.heartbeat().read_text().partition("/")
        assert business.stop() == 0
    assert check() == 1
    # Nobody beats any more between this and the check.
    business.heartbeat().write_text(f"{boot}/{float(at) - 1000}")
    assert check() == 1


def _more_than(collection: "Collection[dict[str, Any]]", count: int) -> bool:
    return collection.count_documents({}) > count
