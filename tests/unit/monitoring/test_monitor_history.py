"""The history notes what changes, survives an absent MongoDB, and is drawn with what happened."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import cast
from urllib.parse import unquote_plus

import pytest

from mlstack.deployment.record import DEPLOYED, DeploymentState, HistoryEntry
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.quality.drift_history import HistoryStore, Moment
from monitoring.evidently_service import alerts
from monitoring.evidently_service.alert_history import Fired, fired_alerts
from monitoring.evidently_service.alerts import AlertsUnknown
from monitoring.evidently_service.history import SPAN, SPANS, History
from monitoring.evidently_service.monitor import State
from monitoring.evidently_service.timeline import Firing, stretches, timeline
from monitoring.evidently_service.timeline_chart import draw_timeline
from monitoring.evidently_service.timelines import Timelines
from monitoring.evidently_service.watch import Watch
from tests.support.moments import moment
from tests.support.monitors import never_answered
from tests.support.target_kinds import contract_of
from tests.support.waiting import wait_until

NOW = datetime.now(UTC).replace(microsecond=0)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


class _Store:
    """Keeps moments in memory; raises while it is `away`."""

    def __init__(self, *kept: Moment) -> None:
        self.kept, self.away = list(kept), False

    def load(self, since: datetime) -> list[Moment]:
        self._check()
        return [each for each in self.kept if each.at >= since]

    def save(self, moments: tuple[Moment, ...]) -> None:
        self._check()
        self.kept += moments

    def _check(self) -> None:
        if self.away:
            raise StorageUnavailable("away")


def _history(store: _Store) -> History:
    return History(cast("HistoryStore", store))


def test_moments_are_noted_every_five_minutes() -> None:
    """More would fill the database without showing more."""
    history = _history(_Store())
    for minute in range(11):
        history.note(moment(NOW + minute * MINUTE))
    assert [each.at - NOW for each in history.moments()] == [n * MINUTE for n in (0, 5, 10)]


@pytest.mark.parametrize("changed", [moment(NOW + MINUTE, "a"), moment(NOW + MINUTE, run_id="b")])
def test_change_is_noted_sooner(changed: Moment) -> None:
    """Another verdict or another model; a verdict that flaps is noted once a minute."""
    history = _history(_Store())
    history.note(moment(NOW))
    history.note(changed)
    history.note(moment(NOW + 1.5 * MINUTE))
    assert list(history.moments()) == [moment(NOW), changed]


def test_moments_wait_for_mongodb() -> None:
    """Nothing is lost while it is away, and the time before the start is read later."""
    store = _Store(moment(NOW - 2 * SPAN), moment(NOW - DAY))
    store.away = True
    history = _history(store)
    history.note(moment(NOW))
    with pytest.raises(StorageUnavailable):
        history.sync()
    assert (history.waiting(), history.loaded) == (1, False)
    store.away = False
    history.sync()
    assert (history.waiting(), history.loaded) == (0, True)
    assert list(history.moments()) == [moment(NOW - DAY), moment(NOW)]
    history.sync()
    assert store.kept[2:] == [moment(NOW)]


def test_moments_in_memory_are_of_thirty_days() -> None:
    history = _history(_Store(moment(NOW - SPAN + DAY)))
    history.sync()
    history.note(moment(NOW + 2 * DAY))
    assert list(history.moments()) == [moment(NOW + 2 * DAY)]


def test_short_drift_shows_in_a_long_chart() -> None:
    """Of the moments that share a step of the chart, the one with the most drift counts."""
    moments = [
        moment(NOW - n * 5 * MINUTE, *("a" if n == 1000 else "")) for n in range(8000, 0, -1)
    ]
    found = stretches(moments, NOW - SPAN, NOW)
    assert len(found) <= 145
    assert sum(not each.moment.calm for each in found) == 1


def test_time_without_calculation_stays_empty() -> None:
    """A moment does not stand for the hours after the service has stopped."""
    moments = [moment(NOW - 5 * timedelta(hours=1)), moment(NOW - MINUTE)]
    first, last = stretches(moments, NOW - DAY, NOW)
    assert first.end - first.start == timedelta(minutes=30)
    assert (last.start, last.end) == (NOW - MINUTE, NOW)


@pytest.mark.parametrize(
    ("age", "shown"), [(10 * MINUTE, DAY / 24), (DAY / 2, DAY / 2), (DAY, DAY)]
)
def test_young_history_fills_the_chart(age: timedelta, shown: timedelta) -> None:
    """Minutes after the start it would be a line at the edge."""
    found = timeline([moment(NOW - age), moment(NOW)], [], None, NOW, DAY)
    assert found.end - found.start == shown


def test_deployments_and_alerts_are_on_the_axis() -> None:
    """Those before it are left out, and an alert that began before it is cut."""
    firing = [Firing("A", NOW - 2 * DAY, NOW - DAY / 2), Firing("B", NOW - 3 * DAY, NOW - 2 * DAY)]
    shown = timeline([moment(NOW - DAY)], [NOW - 2 * DAY, NOW - DAY / 4], firing, NOW, DAY)
    assert shown.deployed == [NOW - DAY / 4]
    assert shown.firing == [Firing("A", shown.start, NOW - DAY / 2)]
    svg = draw_timeline("a", "Last day", shown, "rmse")
    assert ">alerts</text>" in svg
    assert "Deployments: 1." in svg


@pytest.mark.parametrize("moments", [[], [moment(NOW)], [moment(NOW - DAY / 2), moment(NOW)]])
def test_any_history_is_drawn(moments: list[Moment]) -> None:
    svg = draw_timeline("a", "Last day", timeline(moments, [], None, NOW, DAY), "rmse")
    assert (">no calculation yet</text>" in svg) is (not moments)


def test_timelines_say_what_is_missing(tmp_path: Path) -> None:
    """Without MongoDB and with a broken deployment history the page still works."""
    store = _Store()
    history, deployment = _history(store), DeploymentState(tmp_path)
    timelines = Timelines(contract_of("multiclass"), history, deployment, never_answered())
    assert timelines.draw(State(), "").charts == []
    history.note(moment(NOW))
    entry = HistoryEntry(
        at=NOW, by="me", action="deploy", from_run_id=None, to_run_id="a" * 32, result=DEPLOYED
    )
    deployment.add_to_history(entry)
    drawn = timelines.draw(State(), "no answer")
    assert timelines.draw(State(), "no answer") is drawn
    assert [title for title, _ in drawn.charts] == ["Last day", "Last 30 days"]
    assert "logloss" in drawn.charts[0][1]
    assert list(drawn.deployments) == [entry]
    assert "1 moment waits in memory" in drawn.notes[0]
    assert drawn.notes[1] == "Alerts are not marked: the first answer is still awaited."
    (tmp_path / "deployments.jsonl").write_text("broken")
    drawn = timelines.draw(State(), "")
    assert "Deployments are not marked" in drawn.notes[0]
    assert not drawn.deployments


def _answer(*seconds: float) -> bytes:
    values = [[NOW.timestamp() + each, "1"] for each in seconds]
    result = [{"metric": {"alertname": "A"}, "values": values}] if values else []
    return json.dumps({"data": {"result": result}}).encode()


def test_points_of_an_alert_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prometheus answers with points; each stands for the step before it."""
    asked = []

    def ask(url: str, _: object) -> tuple[int, bytes]:
        asked.append(unquote_plus(url))
        return 200, _answer(0, 360.001, 720, 3600)

    monkeypatch.setattr(alerts, "ask", ask)
    fired = fired_alerts("http://prometheus", [DAY])
    step = 6 * MINUTE
    assert [(each.name, each.start, each.end) for each in fired[DAY]] == [
        ("A", NOW - step, NOW + 2 * step),
        ("A", NOW + 9 * step, NOW + 10 * step),
    ]
    assert 'ALERTS{alertstate="firing"}[360s]' in asked[0]


def test_absent_prometheus_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "ask", lambda *_: (0, b"no answer"))
    with pytest.raises(AlertsUnknown, match="Prometheus: no answer"):
        fired_alerts("http://prometheus", [DAY])


def test_alerts_are_listed_and_drawn(tmp_path: Path) -> None:
    """Those of the last day, newest first."""
    history = _history(_Store())
    history.note(moment(NOW))
    firing = [Firing(f"A{n}", NOW - n * MINUTE, NOW) for n in range(7, 0, -1)]
    fired: Fired = dict.fromkeys(SPANS, firing)
    watch = Watch("fired alerts", lambda: fired)
    stopping = Event()
    watch.start(stopping)
    wait_until(lambda: not watch.read()[1], "it has asked")
    stopping.set()
    contract = contract_of("binary")
    drawn = Timelines(contract, history, DeploymentState(tmp_path), watch).draw(State(), "")
    assert [each.name for each in drawn.fired] == ["A1", "A2", "A3", "A4", "A5"]
    assert drawn.notes == []
    assert all(">alerts</text>" in svg for _, svg in drawn.charts)
