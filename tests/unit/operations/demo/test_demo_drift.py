"""What `make demo-drift` reads, and how it shows what it sees."""

from collections.abc import Iterator

import pytest

from mlstack.contract import Contract
from mlstack.settings import Settings
from operations.demo.errors import DemoError
from operations.demo.stack import Gauges, Stack
from operations.demo.table import Table
from support.ports import free_ports

EXPOSITION = """\
# HELP evidently:data_drift:dataset_drift 1: at least one feature drifted.
# TYPE evidently:data_drift:dataset_drift gauge
evidently:data_drift:dataset_drift{dataset="ours"} 1.0
evidently:data_drift:dataset_drift{dataset="theirs"} 0.0
# TYPE evidently:data_drift:drifted gauge
evidently:data_drift:drifted{dataset="ours",feature="a"} 1.0
evidently:data_drift:drifted{dataset="ours",feature="b"} 0.0
evidently:data_drift:drifted{dataset="theirs",feature="c"} 1.0
evidently:window_rows{dataset="new"} 5.0
"""


def test_gauges_are_those_of_the_contract() -> None:
    assert Gauges.parse(EXPOSITION, "ours") == Gauges(drifted=True, features=("a",))
    assert Gauges.parse(EXPOSITION, "theirs") == Gauges(drifted=False, features=("c",))


def test_no_calculation_is_no_verdict() -> None:
    assert Gauges.parse(EXPOSITION, "new").drifted is None


def test_a_stack_that_is_not_up_is_named_with_what_to_do(documented: Contract) -> None:
    settings = Settings(api_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(DemoError, match=r"not up: model-server-api .*; start it with make"):
        Stack(settings, documented).require()


def test_a_missing_prometheus_is_named_with_what_to_do(documented: Contract) -> None:
    settings = Settings(prometheus_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "see make status" in Stack(settings, documented).lack_of_alerts()


def test_mongodb_that_goes_away_ends_the_demonstration_with_a_sentence(
    documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlstack.prediction_log.mongo_database._CONNECT_MS", 100)
    settings = Settings(mongo_uri=f"mongodb://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(DemoError, match="mongo does not answer any more"):
        Stack(settings, documented).is_stored("some-id")


class TestTable:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("operations.demo.table.POLL_SECONDS", 0)

    def test_a_step_is_shown_once_there_is_something_to_see(self) -> None:
        shown: list[str] = []
        sights: Iterator[str] = iter(["", "", "income"])
        table = Table(lambda text, end: shown.append(text + end), live=False)
        table.follow("gauge", lambda: next(sights))
        (line,) = shown[1:]
        assert line.split() == ["gauge", "0.0", "s", "0.0", "s", "income"]

    def test_a_terminal_shows_that_it_is_waiting(self) -> None:
        shown: list[str] = []
        sights: Iterator[str] = iter(["", "income"])
        table = Table(lambda text, end: shown.append(text + end), live=True)
        table.follow("gauge", lambda: next(sights))
        assert [line.endswith("\n") for line in shown[1:]] == [False, True]
        assert all(line.startswith("\r") for line in shown[1:])

    def test_what_does_not_come_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("operations.demo.table.STEP_SECONDS", 0)
        table = Table(lambda *_: None, live=False)
        with pytest.raises(DemoError, match="gauge: not within 0 s"):
            table.follow("gauge", lambda: "")
