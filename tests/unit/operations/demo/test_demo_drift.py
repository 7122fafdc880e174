"""What `make demo-drift` reads from the running stack, and how it shows it."""

from collections.abc import Iterator

import pytest

from mlstack.contract import Contract
from mlstack.settings import Settings
from mlstack.waiting import Unavailable
from operations.demo.drift_demo import Timeline
from operations.demo.running_stack import Gauges, RunningStack
from operations.errors import StackError
from tests.support.ports import free_ports

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


def test_gauges_are_those_of_contract() -> None:
    assert Gauges.parse(EXPOSITION, "ours") == Gauges(drifted=True, features=("a",))
    assert Gauges.parse(EXPOSITION, "theirs") == Gauges(drifted=False, features=("c",))
    assert Gauges.parse(EXPOSITION, "new").rows == 5


def test_no_gauge_is_no_verdict() -> None:
    assert Gauges.parse(EXPOSITION, "new").drifted is None


def test_stack_that_is_down_is_named(documented: Contract) -> None:
    settings = Settings(api_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StackError, match=r"not up: model-server-api .*; start it with make"):
        RunningStack(settings, documented).require_ready()


def test_missing_prometheus_is_named(documented: Contract) -> None:
    settings = Settings(prometheus_url=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "see make status" in RunningStack(settings, documented).alerts_fault()


def test_mongodb_that_goes_away_is_named(
    documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlstack.prediction_log.mongo_database._CONNECT_MS", 100)
    settings = Settings(mongo_uri=f"mongodb://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(StackError, match="mongo does not answer"):
        RunningStack(settings, documented).has_predictions("some-id")


class TestTimeline:
    @pytest.fixture(autouse=True)
    def _at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("operations.demo.drift_demo.POLL_SECONDS", 0)

    def test_step_is_printed_once_it_happened(self, capsys: pytest.CaptureFixture[str]) -> None:
        seen: Iterator[str] = iter(["", "", "income"])
        Timeline(live=False).follow("gauge", lambda: next(seen))
        _, line = capsys.readouterr().out.splitlines()
        assert line.split() == ["gauge", "0.0", "s", "0.0", "s", "income"]

    def test_terminal_counts_up_while_waiting(self, capsys: pytest.CaptureFixture[str]) -> None:
        seen: Iterator[str] = iter(["", "income"])
        Timeline(live=True).follow("gauge", lambda: next(seen))
        _, waiting, line = capsys.readouterr().out.split("\r")
        assert "..." in waiting
        assert line.endswith("income\n")

    def test_step_that_never_happens_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("operations.demo.drift_demo.STEP_SECONDS", 0)
        with pytest.raises(Unavailable, match=r"gauge: did not happen in time; .* \(waited 0 s\)"):
            Timeline(live=False).follow("gauge", lambda: "")
