"""The stack's front page: what it shows of answers, and of services that give none."""

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml
from flask import Flask

from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState
from mlstack.errors import RegistryUnavailable, SettingsError
from mlstack.model import mlflow_lookup
from mlstack.model.card_names import CARD_TAG, card_name
from mlstack.model.mlflow_lookup import Version
from mlstack.probes import Answer
from mlstack.quality.report_head import ReportHead
from mlstack.quality.results import BinaryQuality
from mlstack.settings import ROOT, Settings
from monitoring.evidently_service import alerts, app
from monitoring.evidently_service.alerts import Alert, AlertsUnknown, firing_alerts
from monitoring.evidently_service.front_page import (
    QUALITY_FELL,
    FrontPage,
    TrackedModel,
    age,
    compare_quality,
)
from monitoring.evidently_service.monitor import Monitor, State
from monitoring.evidently_service.page import Page
from monitoring.evidently_service.stack_services import read_services
from monitoring.evidently_service.watch import Watch
from tests.support.customers import contract_named
from tests.support.waiting import wait_until

RUN_ID = "a" * 32
SERVICES = """
mlflow_server mlflow_searches http://mlflow_server:5051

mongo mongo_answers mongodb://mongo:27017
evidently_service monitor_watches http://127.0.0.1:8085
prometheus left_out 'it is not installed: apt-get install it'
"""
ODD = "<script>alert(1)</script>" + "x" * 300


@pytest.fixture
def contract() -> Contract:
    return contract_named("credit_card_churn")


class Pages:
    """A front page whose threads do not run, with answers that a test gives."""

    def __init__(self, contract: Contract, state: Path, services: str = SERVICES) -> None:
        settings = Settings(stack_services=services, state_dir=state)
        self.monitor = SimpleNamespace(
            state=State(),
            storage_fault="",
            history=None,
            deployment=DeploymentState(state),
            fired=None,
        )
        monitor = cast("Monitor", self.monitor)
        page = Page(monitor, contract)
        self.front = FrontPage(settings, contract, monitor, page)
        self.app: Flask = app.create_app(monitor, contract, page, self.front, "")

    def answer(self, **answers: object) -> None:
        """Let the named questions have an answer; an exception is a failure."""
        watches: dict[str, Watch[Any]] = {
            "alerts": self.front._alerts,
            "report": self.front._report,
            "tracked": self.front._tracked,
            **{service.name: watch for service, watch in self.front._probes},
        }
        for name, answer in answers.items():
            give(watches[name], answer)

    def html(self) -> str:
        answer = self.app.test_client().get("/", headers={"Host": "127.0.0.1:1234"})
        assert answer.status_code == 200
        return answer.text


@pytest.fixture
def pages(contract: Contract, tmp_path: Path) -> Pages:
    DeploymentState(tmp_path).write_record(RUN_ID, "ana@laptop")
    return Pages(contract, tmp_path)


def give(watch: Watch[Any], answer: object) -> None:
    stopping = threading.Event()

    def ask() -> object:
        stopping.set()
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch._ask = ask
    watch._repeat(stopping)


def test_page_names_what_is_not_known_yet(pages: Pages) -> None:
    """Before the first answers there is a page, and it claims nothing."""
    html = pages.html()
    assert "Waiting for a verdict" in html
    assert html.count("being asked") == 3
    assert RUN_ID in html
    assert "ana@laptop" in html
    assert "http://127.0.0.1:1234/" in html
    assert "it is not installed: apt-get install it" in html


def test_page_shows_answers_and_links(pages: Pages) -> None:
    """MLflow's link opens the model's experiment, the report's its page."""
    report = ReportHead(
        created_at=datetime.now(UTC) - timedelta(hours=3),
        n_predictions=1234,
        verdict="drift",
        drifted_features=("gender",),
        html="20260101T000000Z-credit_card_churn.html",
    )
    pages.answer(
        report=report,
        tracked=TrackedModel(RUN_ID, "7", Version("credit_card_churn 3", card_name(RUN_ID))),
        mlflow_server=Answer(ready=True, detail=""),
        mongo=Answer(ready=False, detail="it is not running"),
    )
    html = pages.html()
    assert f'href="http://127.0.0.1:5051/#/experiments/7/runs/{RUN_ID}"' in html
    assert html.count('href="http://127.0.0.1:5051/#/experiments/7"') == 2
    assert f'credit_card_churn 3 (<a href="http://127.0.0.1:8888/{card_name(RUN_ID)}">' in html
    assert f'href="http://127.0.0.1:8888/{report.html}"' in html
    assert "1,234" in html
    assert "(3 hours ago)" in html
    assert "Needs attention" in html
    assert "Not ready: MongoDB." in html
    assert "It is not running." in html


def test_page_says_who_does_not_answer(contract: Contract, tmp_path: Path) -> None:
    """Without Prometheus, MongoDB and MLflow it still says what is deployed, or that nothing is."""
    pages = Pages(contract, tmp_path, "mongo mongo_answers mongodb://mongo:27017")
    pages.answer(
        alerts=AlertsUnknown("Prometheus: it is not running"),
        report=RegistryUnavailable("MongoDB: timed out (configured timeouts: 5)"),
        tracked=RegistryUnavailable("MLflow: it is not running"),
    )
    html = pages.html()
    assert "Which alerts fire is not known: Prometheus: it is not running" in html
    assert "MongoDB: it gives no answer in time: it is overloaded or stuck." in html
    assert "No model is deployed" in html
    (tmp_path / "deployment.json").write_text("{")
    assert "is not a deployment record" in pages.html()


def test_page_escapes_every_text(contract: Contract, tmp_path: Path) -> None:
    """Names, details and alerts come from elsewhere."""
    DeploymentState(tmp_path).write_record(RUN_ID, ODD)
    pages = Pages(contract, tmp_path, f"'{ODD}' url_answers http://x\n{SERVICES}")
    alert = Alert(ODD, ODD, ODD, ODD, datetime.now(UTC))
    bad = Answer(ready=False, detail=ODD)
    pages.answer(
        alerts=[alert] * 25, tracked=TrackedModel(RUN_ID, "7", Version(ODD, "")), mongo=bad
    )
    html = pages.html()
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") > 20
    assert "25 alerts fire." in html
    assert "5 more" in html


def test_alerts_are_read_from_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pending ones do not fire yet; the longest firing one comes first, and none comes twice."""
    found = [
        _alert("Late", "firing", "2026-01-02T00:00:00.123456789Z"),
        _alert("Pending", "pending", "2026-01-01T00:00:00Z"),
        _alert("Early", "firing", "2026-01-01T00:00:00Z"),
        _alert("Early", "firing", "2026-01-03T00:00:00Z"),
    ]
    body = json.dumps({"data": {"alerts": found}}).encode()
    monkeypatch.setattr(alerts, "ask", lambda *_: (200, body))
    early, late = firing_alerts("http://prometheus:9090")
    assert (early.name, late.name) == ("Early", "Late")
    assert (early.severity, early.summary, early.runbook) == ("warning", "It is.", "")
    monkeypatch.setattr(alerts, "ask", lambda *_: (0, b"refused"))
    with pytest.raises(AlertsUnknown, match="refused"):
        firing_alerts("http://prometheus:9090")


def _alert(name: str, state: str, since: str) -> dict[str, Any]:
    labels = {"alertname": name, "severity": "warning"}
    texts = {"summary": "It is."}
    return {"labels": labels, "annotations": texts, "state": state, "activeAt": since}


def test_mlflow_is_asked_for_run_and_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that MLflow no longer has leads to the experiment of the contract's name."""
    answers: Mapping[str, Any] = {
        "runs/get?run_id=a": {"run": {"info": {"experiment_id": "3"}}},
        "experiments/get-by-name?experiment_name=churn": {"experiment": {"experiment_id": "5"}},
        "model-versions/search?filter=run_id+%3D+%27a%27&max_results=1": {
            "model_versions": [
                {"name": "churn", "version": "2", "tags": [{"key": CARD_TAG, "value": "x"}]}
            ]
        },
        "model-versions/search?filter=run_id+%3D+%27b%27&max_results=1": {},
        # Registered by an earlier release.
        "model-versions/search?filter=run_id+%3D+%27c%27&max_results=1": {
            "model_versions": [{"name": "churn", "version": "1"}]
        },
    }

    def ask(url: str, _: object) -> tuple[int, bytes]:
        answer = answers.get(url.removeprefix("http://mlflow/api/2.0/mlflow/"))
        return (404, b"") if answer is None else (200, json.dumps(answer).encode())

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    monkeypatch.setattr(mlflow_lookup, "ask", ask)
    assert mlflow_lookup.find_experiment("churn", "a") == "3"
    assert mlflow_lookup.find_experiment("churn", "b") == "5"
    assert mlflow_lookup.find_experiment("other") == ""
    assert mlflow_lookup.find_version("a") == ("churn 2", card_name("a"))
    assert mlflow_lookup.find_version("b") is None
    assert mlflow_lookup.find_version("c") == ("churn 1", "")
    monkeypatch.setattr(mlflow_lookup, "ask", lambda *_: (0, b"refused"))
    with pytest.raises(RegistryUnavailable, match="refused"):
        mlflow_lookup.find_version("a")


@pytest.mark.parametrize(
    "line", ["mongo", "mongo pings x", "mongo url_answers", "mongo 'url", "mongo heartbeat mongo"]
)
def test_unreadable_service_is_named(line: str) -> None:
    with pytest.raises(SettingsError, match=r"SERVICES: .* is not a service"):
        read_services(Settings(stack_services=line))


def test_hanging_question_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads gets the last answer, and later that it is an old one."""
    release, stopping = threading.Event(), threading.Event()
    watch = Watch("hanging", lambda: release.wait(30))
    watch.start(stopping)
    assert watch.read() == (None, "the first answer is still awaited")
    monkeypatch.setattr("monitoring.evidently_service.watch._LATE_SECONDS", -1.0)
    assert watch.read() == (None, "no answer for 0 s")
    stopping.set()
    release.set()
    wait_until(lambda: watch.read()[0], "it is answered")


def test_defect_in_a_question_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next time it may be answered."""
    monkeypatch.setattr("monitoring.evidently_service.watch.SECONDS", 0.01)
    divisors = iter([0, 1])

    def ask() -> int:
        return 5 // next(divisors, 1)

    stopping, watch = threading.Event(), Watch("faulty", ask)
    watch.start(stopping)
    wait_until(lambda: watch.read() == (5, ""), "it is answered")
    stopping.set()


def test_quality_falls_where_the_alert_says_so() -> None:
    """The page's limit is that of the rule."""
    text = (ROOT / "monitoring/prometheus/rules/model.yml").read_text(encoding="utf-8")
    rules = [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    (expression,) = [rule["expr"] for rule in rules if rule.get("alert") == "QualityFell"]
    assert {word for word in expression.split() if word[0].isdigit()} == {str(QUALITY_FELL)}
    before = BinaryQuality(rmse=0.2, logloss=0.3, auc=None, calibration_error=0.1, coverage=1)
    for rmse, fell in ((0.23, False), (0.25, True)):
        now = BinaryQuality(rmse=rmse, logloss=0.3, auc=None, calibration_error=0.1, coverage=1)
        verdict = compare_quality(now, before, 1200)
        assert verdict.fell is fell
        assert f"{rmse / 0.2:.2f} times that at training: rmse {rmse:.3f}" in verdict.sentence
        assert "on 1,200 outcomes" in verdict.sentence
        assert not compare_quality(now, None, 1200).fell


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (60, "1 minute"), (7300, "2 hours"), (86_400 * 3, "3 days")],
)
def test_age_has_one_unit(seconds: float, said: str) -> None:
    assert age(timedelta(seconds=seconds)) == said


def test_missing_grafana_is_no_problem(contract: Contract, tmp_path: Path) -> None:
    """Everything works without it, and its image cannot be pulled everywhere."""
    DeploymentState(tmp_path).write_record(RUN_ID, "ana")
    pages = Pages(contract, tmp_path, "grafana url_answers http://grafana:3000/api/health")
    pages.answer(grafana=Answer(ready=False, detail="it is not running"))
    html = pages.html()
    assert "not ready" in html
    assert "Needs attention" not in html


def test_report_fault_is_no_absence(pages: Pages) -> None:
    """A report that cannot be read is not a report that was never made."""
    pages.answer(report=None)
    assert "There is no report yet" in pages.html()
    pages.answer(report=RegistryUnavailable("MongoDB: timed out"))
    assert "There is no report yet" not in pages.html()
