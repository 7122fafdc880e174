"""What `make demo-drift` reads, and how it shows what it sees."""

from collections.abc import Iterator

import pytest

from embedded import demo_drift
from embedded.demo_drift import Gauges, Stack, Table
from embedded.errors import StackError
from mlstack.contract import Contract
from mlstack.settings import Settings
from support.project_copy import free_ports

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
    mongo, api, monitor = free_ports(3)
    settings = Settings(mongo_port=mongo, api_port=api, evidently_port=monitor)
    with pytest.raises(StackError, match=r"not up: mongo .*; start it with make demo"):
        Stack(settings, documented).require()


def test_a_missing_prometheus_is_named_with_what_to_do(
    documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    stack = Stack(Settings(prometheus_port=free_ports(1)[0]), documented)
    assert "apt-get install" in stack.lack_of_alerts()


class TestTable:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(demo_drift, "_POLL_SECONDS", 0)

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
        monkeypatch.setattr(demo_drift, "_STEP_SECONDS", 0)
        table = Table(lambda *_: None, live=False)
        with pytest.raises(StackError, match="gauge: not within 0 s"):
            table.follow("gauge", lambda: "")
