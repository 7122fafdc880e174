"""MongoDB's address: what can never work is told at once, what has no answer is tried again."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.errors import SettingsError
from mlstack.prediction_log.mongo_database import StorageUnavailable, mongo_client, open_database
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.settings import Settings
from monitoring.evidently_service.monitor import Monitor
from reporting.report_store import ReportStore
from support.ports import free_port
from support.waiting import wait_until

SRV = "mongodb+srv://cluster.example.com/"
"""Whose servers a name server has to be asked for, as Atlas has it."""


@pytest.fixture
def lookups(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were looked up, none of them with success."""
    names: list[str] = []

    def fail(name: str, *_: object, **__: object) -> None:
        names.append(name)
        raise OSError("no name server answers")

    monkeypatch.setattr("dns.resolver.resolve", fail)
    return names


def _count_all(uri: str) -> None:
    with open_database(uri) as database:
        database["data"].count_documents({})


@pytest.mark.parametrize("made", ["sink", "predictions", "reports", "database"])
def test_a_name_that_can_not_be_looked_up_is_looked_up_again_at_the_next_call(
    made: str, lookups: list[str], documented: Contract
) -> None:
    """The client itself needs no name server: a server starts during its outage."""
    sink, predictions, reports = MongoSink(SRV), PredictionStore(SRV, documented), ReportStore(SRV)
    call: Callable[[], object] = {
        "sink": sink.prepare,
        "predictions": lambda: predictions.newest(1),
        "reports": reports.count,
        "database": lambda: _count_all(SRV),
    }[made]
    assert lookups == []
    for tries in (1, 2):
        with pytest.raises(StorageUnavailable, match="MongoDB: no name server answers"):
            call()
        assert len(lookups) == tries


def test_mongodb_that_is_down_is_noticed_within_seconds(documented: Contract) -> None:
    """Whatever time a slow read may take, a MongoDB that is down is noticed within 5 s."""
    predictions = PredictionStore(f"mongodb://127.0.0.1:{free_port()}", documented)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match="MongoDB"):
        predictions.newest(1)
    assert time.monotonic() - started < 7  # on a busy machine
    predictions.close()


def test_mongodb_may_take_its_time_for_a_slow_read(documented: Contract) -> None:
    """A read of 100,000 documents may take 120 s."""
    predictions = PredictionStore("mongodb://127.0.0.1", documented)
    options = predictions._client.options
    predictions.close()
    assert options.pool_options.socket_timeout == 120
    assert options.timeout is None


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://",
        "http://127.0.0.1",
        "mongodb://127.0.0.1:99999",
        "mongodb://user:pass@word@127.0.0.1",
        "mongodb+srv://cluster.example.com:27017/",
        "mongodb://127.0.0.1/?tlsCAFile=/there/is/no/such/file",
    ],
)
def test_an_address_that_can_never_work_is_told_at_once(uri: str) -> None:
    with pytest.raises(SettingsError, match="MONGO_URI cannot be used") as told:
        mongo_client(uri)
    assert "pass@word" not in str(told.value)


def test_the_monitor_asks_again_when_the_name_can_not_be_looked_up(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch, documented: Contract, tmp_path: Path
) -> None:
    monkeypatch.setattr(Monitor, "_calculate", lambda _: None)  # it imports Evidently
    settings = Settings(state_dir=tmp_path, mongo_uri=SRV, monitor_period_seconds=0.1)
    monitor = Monitor(settings, documented)
    monitor.start()
    try:
        wait_until(lambda: len(lookups) > 2, "it asks again")
        assert monitor.storage_fault.startswith("MongoDB: ")
        assert monitor.alive
    finally:
        monitor.stop()


def test_a_defect_of_a_step_ends_no_thread_of_the_monitor(
    monkeypatch: pytest.MonkeyPatch, documented: Contract, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path, monitor_period_seconds=0.1)
    monitor = Monitor(settings, documented)
    asked: list[object] = []

    def fail(_: object, *count: object) -> None:
        asked.extend(count)
        raise ZeroDivisionError

    monkeypatch.setattr(PredictionStore, "newest", fail)
    monkeypatch.setattr(Monitor, "_next", fail)
    monitor.start()
    try:
        wait_until(lambda: monitor.failures > 2 and len(asked) > 2, "both steps are tried again")
        assert monitor.alive
        assert "ZeroDivisionError" in monitor.storage_fault
        assert "ZeroDivisionError" in monitor.state.reason
    finally:
        monitor.stop()
