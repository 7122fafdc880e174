"""MongoDB's client: impossible addresses are refused at once, failed lookups are repeated."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from mlstack import probes
from mlstack.contract import Contract
from mlstack.errors import SettingsError
from mlstack.prediction_log.mongo_database import (
    StorageUnavailable,
    mongo_client,
    open_database,
    plain_reason,
)
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.settings import Settings
from monitoring.evidently_service.monitor import Monitor
from reporting.report_store import ReportStore
from tests.support.ports import free_port
from tests.support.waiting import wait_until

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
def test_failed_name_lookup_is_repeated(
    made: str, lookups: list[str], documented: Contract
) -> None:
    """A name that cannot be looked up is looked up again at the next call."""
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
    """MongoDB that is down is noticed within seconds, whatever the time limit."""
    predictions = PredictionStore(f"mongodb://127.0.0.1:{free_port()}", documented)
    started = time.monotonic()
    with pytest.raises(StorageUnavailable, match="MongoDB"):
        predictions.newest(1)
    assert time.monotonic() - started < 7  # on a busy machine
    predictions.close()


def test_slow_read_has_its_own_time_limit(documented: Contract) -> None:
    """A slow read may take longer than the search for a server."""
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
        "mongodb://user:some/pass@word@127.0.0.1",
        "mongodb+srv://cluster.example.com:27017/",
        "mongodb://127.0.0.1/?tlsCAFile=/there/is/no/such/file",
    ],
)
def test_impossible_address_is_a_settings_error(uri: str) -> None:
    """An address that can never work is refused at once."""
    with pytest.raises(SettingsError, match="MONGO_URI cannot be used") as told:
        mongo_client(uri)
    assert "pass@word" not in str(told.value)


def test_options_of_a_replica_set_are_passed_on(documented: Contract) -> None:
    """All of the URI's; but who writes by what it reads, reads from the primary."""
    uri = (
        "mongodb://u:p@db1:1,db2:2/?replicaSet=rs0&tls=true&authSource=admin&w=majority"
        "&readPreference=secondaryPreferred&retryWrites=true&serverSelectionTimeoutMS=700"
    )
    with closing(mongo_client(uri)) as client:
        assert client._seeds == {("db1", 1), ("db2", 2)}
        options = client.options
        assert (options.replica_set_name, options.retry_writes) == ("rs0", True)
        assert options.server_selection_timeout == 0.7
        assert client.write_concern.document == {"w": "majority", "j": True}
    with closing(PredictionStore(uri, documented)) as store:
        assert store._predictions.read_preference.name == "SecondaryPreferred"
    with closing(MongoSink(uri)) as sink:
        assert sink._predictions.read_preference.name == "Primary"


def test_monitor_repeats_a_failed_name_lookup(
    lookups: list[str], monkeypatch: pytest.MonkeyPatch, documented: Contract, tmp_path: Path
) -> None:
    """The monitor asks again when MongoDB's name cannot be looked up."""
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


def test_monitor_thread_survives_a_defect(
    monkeypatch: pytest.MonkeyPatch, documented: Contract, tmp_path: Path
) -> None:
    """A defect in a step does not end the monitor's thread."""
    settings = Settings(state_dir=tmp_path, monitor_period_seconds=0.1)
    monitor = Monitor(settings, documented)
    asked: list[object] = []

    def fail(_: object, *count: object) -> None:
        asked.extend(count)
        raise ZeroDivisionError

    monkeypatch.setattr(PredictionStore, "newest", fail)
    monkeypatch.setattr(Monitor, "_next_state", fail)
    monitor.start()
    try:
        wait_until(lambda: monitor.failures > 2 and len(asked) > 2, "both steps are tried again")
        assert monitor.alive
        assert "ZeroDivisionError" in monitor.storage_fault
        assert "ZeroDivisionError" in monitor.state.reason
    finally:
        monitor.stop()


def test_silence_is_explained_in_plain_words() -> None:
    """People read what a probe would say, without error numbers and the driver's settings."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert _reason_at(port) == f"MongoDB: {probes.TIMED_OUT}"
    assert _reason_at(port) == f"MongoDB: {probes.REFUSED}"


def _reason_at(port: int) -> str:
    limits = "serverSelectionTimeoutMS=300&connectTimeoutMS=100"
    with pytest.raises(StorageUnavailable) as caught:
        _count_all(f"mongodb://127.0.0.1:{port}/?{limits}")
    return plain_reason(str(caught.value))


def test_unknown_name_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine resolves the names of running containers only."""

    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(StorageUnavailable) as caught:
        _count_all("mongodb://mongo:27017/?serverSelectionTimeoutMS=300")
    assert plain_reason(str(caught.value)) == f"MongoDB: {probes.UNKNOWN_NAME}"
