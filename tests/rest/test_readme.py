"""The README step by step, from an empty environment to a report, and what a stack has to survive.

The tests of this file share one stack and follow each other. What `make demo` does is tested by
`tests/integration/test_walkthrough.py`.
"""

import re
import shutil
from collections.abc import Iterator
from functools import partial

import pytest
import requests

from mlstack.contract.drifts import load_drift
from mlstack.settings import ROOT
from tests.support.dashboards import FILES, load, queries
from tests.support.drift_table import steps
from tests.support.embedded import EmbeddedStack, embedded_stack
from tests.support.inbox import Inbox, inbox
from tests.support.readme import END, OWN_DATA, README, SAVE, SET_UP, USE, run_command
from tests.support.stack_behaviour import (
    Kept,
    check_backup_comes_back,
    check_killed_service_comes_back,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(900)  # a busy machine takes long to start everything
SERVICES = (
    "mlflow",
    "prefect-server",
    "agent",
    "aws",
    "aws-keeper",
    "mongo",
    "model-server-api",
    "model-server-streams",
    "log-keeper",
    "send_data-api",
    "send_data-kinesis",
    "evidently_service",
    "nginx",
    *(("prometheus",) if shutil.which("prometheus") else ()),
    *(("alertmanager",) if shutil.which("prometheus-alertmanager") else ()),
)
DRIFT = "incomes_rise"
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not there: apt-get install --no-install-recommends prometheus",
)


@pytest.fixture(scope="module")
def served() -> Iterator[Inbox]:
    """Where the stack's alerts are mailed to."""
    with inbox() as served:
        yield served


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, served: Inbox) -> Iterator[EmbeddedStack]:
    """A stack that the README's own commands have set up."""
    with embedded_stack(tmp_path_factory.mktemp("readme")) as stack:
        stack.project.variables |= {
            "ALERT_MAIL_TO": "ops@example.org",
            "ALERT_SMTP_SERVER": f"127.0.0.1:{served.port}",
            "ALERT_SMTP_STARTTLS": "false",
        }
        for command in SET_UP:
            run_command(stack, command, stack.champion() if "RUN_ID" in command else "")
        yield stack


@pytest.fixture(scope="module")
def kept() -> dict[str, Kept]:
    """What the backup has to bring back, once it was taken."""
    return {}


def test_readme_commands_up_to_a_report_work(stack: EmbeddedStack) -> None:
    """Models are changed, servers stopped and started, and a report is made."""
    for command in USE:
        run_command(stack, command)


@needs_prometheus
def test_drift_is_seen_alarmed_about_and_reported(stack: EmbeddedStack, served: Inbox) -> None:
    """`make demo-drift` waits for gauges, alert, message and report, and each of them is true."""
    assert f"make demo-drift DRIFT={DRIFT}" in README
    lines = steps(stack.make("demo-drift", DRIFT=DRIFT))
    titles = [title for title, _, _ in lines]
    for step in ("answered", "MongoDB", "gauges", "alert DataDrifted", "report"):
        assert any(step in title for title in titles), titles
    after = [seconds for _, seconds, _ in lines]
    assert after == sorted(after)
    seen = {title: what for title, _, what in lines}
    drifts = ROOT / f"contracts/{stack.contract.name}.drifts.yaml"
    drift = load_drift(stack.contract, drifts, DRIFT)
    # Which of them is seen first depends on how far the window was filled when it was looked at.
    assert set(drift.features) & set(seen["drift in the gauges of /metrics"].split(", "))
    drifted = 'evidently:data_drift:drifted{feature="credit_limit"} == 1'
    wait_until(lambda: stack.prometheus.query(drifted), "credit_limit has drifted", seconds=60)
    (report,) = re.findall(r"drift: (http://\S+\.html)", seen["a report is created"])
    assert requests.get(report, timeout=10).ok
    assert "DataDrifted" in stack.prometheus.firing()
    if "alertmanager" in SERVICES:
        assert seen["a message in an inbox"] == "by email"
        assert {title: when for title, when, _ in lines}["a message in an inbox"] < 120
        text = next(text for text in served.texts() if "CRITICAL: Customers of" in text)
        assert f"See it: {stack.monitor}/monitoring" in text


@needs_prometheus
def test_every_panel_of_the_dashboards_has_data(stack: EmbeddedStack) -> None:
    """And customers like those of the training, with their outcomes, end the alerts."""
    stack.report_outcomes()
    wait_until(
        lambda: stack.prometheus.query("dataset:evidently_quality_rmse:ratio_to_reference"),
        "quality is measured",
        seconds=120,
    )
    (dataset,) = stack.prometheus.label_values("evidently:window_rows", "dataset")
    for file in FILES:
        for query in filter(lambda query: query.for_binary, queries(load(file))):
            expression = query.filled(dataset=dataset)
            ask = stack.prometheus.query if query.instant else stack.prometheus.query_range
            wait_until(partial(ask, expression), f"{query} has data", seconds=60)
    wait_until(
        lambda: not stack.prometheus.firing() & {"DataDrifted", "PredictionDrifted", "QualityFell"},
        "customers like those of the training are no alarm",
        seconds=150,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_comes_back(stack: EmbeddedStack, service: str) -> None:
    """A service whose process dies is started again, and the same model is served."""
    check_killed_service_comes_back(stack, service)


def test_demo_starts_from_what_is_there(stack: EmbeddedStack) -> None:
    """`make demo` on a stack that serves a model trains nothing and deploys nothing else."""
    served = stack.served_run()
    shown = stack.make("demo")
    assert "== Train" not in shown
    assert "in the newest report: " in shown
    assert stack.served_run() == served


def test_readme_commands_of_the_backup_work(stack: EmbeddedStack, kept: dict[str, Kept]) -> None:
    """A backup is taken while everything runs."""
    kept["backup"] = Kept.of(stack)
    for command in SAVE:
        run_command(stack, command)


def test_readme_commands_for_another_contract_work(stack: EmbeddedStack) -> None:
    """The same stack takes the second contract, and is removed at the end."""
    for command in (*OWN_DATA, *END):
        run_command(stack, command)


def test_backup_is_restored_into_a_new_stack(stack: EmbeddedStack, kept: dict[str, Kept]) -> None:
    """What was saved serves the same answers in a stack of which nothing was left."""
    check_backup_comes_back(stack, kept["backup"], "embedded")
