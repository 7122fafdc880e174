"""The main job, as a person does it: `make demo` in a fresh copy, then the README line by line.

The tests of this file share one stack and follow each other. Where the real table is there,
part of it is the `DATA_FILE`, and the customers that were left out are predicted.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pandas as pd
import pytest
import requests

from mlstack.contract.drifts import load_drift
from mlstack.data.dataset import read_raw
from mlstack.settings import ROOT
from support.dashboards import FILES, load, queries
from support.project_copy import ProjectCopy, project_copy
from support.prometheus import Prometheus
from support.real_data import real_table
from support.stack import Stack
from support.stack_behaviour import (
    Kept,
    StackBehaviour,
    check_backup_comes_back,
    check_killed_service_comes_back,
)
from support.waiting import wait_until
from support.walkthrough import commands_of

HELD_OUT_SHARE = 0.2
SERVICES = (
    "mlflow",
    "prefect-server",
    "agent",
    "aws",
    "aws-keeper",
    "mongo",
    "model-server-api",
    "model-server-streams",
    "send_data-api",
    "send_data-kinesis",
    "evidently_service",
    "nginx",
    *(("prometheus",) if shutil.which("prometheus") else ()),
)
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None,
    reason="prometheus is not there: apt-get install --no-install-recommends prometheus",
)
# Each command of the README is run below, in the README's order; these by other means.
RUN_ELSEWHERE = {
    "make demo": "the fixture `demo`",
    "make test": "this very run",
    "aws kinesis": "test_aws_lines.py",
    "export AWS": "test_aws_lines.py",
}


class Demo(Stack):
    """A stack that `make demo` brought up."""

    def __init__(self, project: ProjectCopy, output: str, held_out: pd.DataFrame) -> None:
        super().__init__(project, Processes(project), held_out)
        self.output = output
        self.kept: Kept | None = None
        self.prometheus = Prometheus(f"http://127.0.0.1:{project.port('PROMETHEUS_PORT')}")
        self.reports = f"http://127.0.0.1:{project.port('REPORTS_PORT')}"
        self.monitor = f"http://127.0.0.1:{project.port('EVIDENTLY_PORT')}"

    def report_outcomes(self) -> None:
        """Of the same customers, once more predicted."""
        outcomes = [
            {"prediction_id": answer["prediction_id"], "churned": bool(churned)}
            for answer, churned in zip(self.answers(), self.held_out["churned"], strict=True)
        ]
        for start in range(0, len(outcomes), 500):
            batch = outcomes[start : start + 500]
            answer = requests.post(f"{self.api}/feedback", json=batch, timeout=30)
            assert answer.status_code == 202, answer.text


class Processes:
    """Services under supervisord; see `support.stack.Runtime`."""

    def __init__(self, project: ProjectCopy) -> None:
        self._project = project

    def kill(self, service: str) -> None:
        pid = self._project.pid(service)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        restarted = f"{service} is restarted"
        wait_until(lambda: self._project.pid(service) not in (None, pid), restarted)

    def is_ready(self, service: str) -> bool:
        status = self._project.supervise("status").stdout
        return bool(re.search(rf"^{service}\s.*\byes\b", status, re.MULTILINE))


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("walkthrough")
    real = real_table()
    raw = read_raw(real or ROOT / "contracts" / "credit_card_churn_sample.csv")
    held_out = raw.sample(frac=HELD_OUT_SHARE, random_state=1)
    table = folder / "customers.csv"
    raw.drop(index=held_out.index).to_csv(table, index=False)
    (folder / "project").mkdir()
    with project_copy(folder / "project") as project:
        made = project.make("demo", DATA_FILE=str(table), timeout=600)
        assert made.returncode == 0, made.stdout
        yield Demo(project, made.stdout, held_out)


def test_demo_shows_predictions_and_where_to_look(demo: Demo) -> None:
    answers = [json.loads(line) for line in re.findall(r"-> (\{.*\})", demo.output)]
    assert len(answers) == 5
    assert {answer["model_run_id"] for answer in answers} == {demo.champion()}
    assert f"{demo.api}/docs" in demo.output
    assert demo.mlflow in demo.output
    assert "synthetic" not in demo.output


def test_demo_ends_with_a_first_report_and_with_monitoring_that_has_spoken(demo: Demo) -> None:
    index = requests.get(demo.reports, timeout=5).text
    (page,) = re.findall(r'href="(\d{8}T\d{6}Z-credit_card_churn\.html)"', index)
    assert "against the training data" in index
    assert f"{demo.reports}/{page}" in demo.output
    report = requests.get(f"{demo.reports}/{page}", timeout=5)
    assert demo.champion() in report.text
    metrics = requests.get(f"{demo.monitor}/metrics", timeout=5).text
    (rows,) = re.findall(r'evidently:window_rows\{dataset="credit_card_churn"\} (\S+)', metrics)
    assert float(rows) >= 400
    assert 'evidently:data_drift:dataset_drift{dataset="credit_card_churn"}' in metrics
    for address in (demo.reports, demo.monitor):
        assert address in demo.output


@pytest.fixture
def stack(demo: Demo) -> Demo:
    return demo


class TestBehaviour(StackBehaviour):
    """What every environment's stack does."""


def test_second_demo_starts_from_what_is_there(demo: Demo) -> None:
    served = demo.served_run()
    again = demo.project.make("demo", timeout=300)
    assert again.returncode == 0, again.stdout
    assert "== Train" not in again.stdout
    assert "in the newest report: " in again.stdout
    assert demo.served_run() == served


@needs_prometheus
def test_drift_is_seen_alarmed_about_and_reported(demo: Demo) -> None:
    applied = demo.project.make("apply-prediction-reporting")
    assert applied.returncode == 0, applied.stdout
    shown = demo.project.make("demo-drift", "DRIFT=limits_are_cut", timeout=600)
    assert shown.returncode == 0, shown.stdout
    steps = ("answered", "MongoDB", "gauges", "alert DataDrifted", "report")
    places = [shown.stdout.index(step, shown.stdout.index("after")) for step in steps]
    assert places == sorted(places)
    gauge = next(line for line in shown.stdout.splitlines() if "gauges of" in line)
    drift = load_drift(
        demo.contract, ROOT / f"contracts/{demo.contract.name}.drifts.yaml", "limits_are_cut"
    )
    # Which of them is seen first depends on how far the window was filled when it was looked at.
    assert any(feature in gauge for feature in drift.features), gauge
    drifted = 'evidently:data_drift:drifted{feature="credit_limit"} == 1'
    wait_until(lambda: demo.prometheus.query(drifted), "credit_limit has drifted", seconds=60)
    (report,) = re.findall(r"drift: (http://\S+\.html)", shown.stdout)
    assert requests.get(report, timeout=10).ok
    assert "DataDrifted" in demo.prometheus.firing()


@needs_prometheus
def test_every_panel_of_the_dashboards_has_data(demo: Demo) -> None:
    """Customers who were left out of the training, and what became of them, calm it again."""
    demo.report_outcomes()
    wait_until(
        lambda: demo.prometheus.query("dataset:evidently_quality_rmse:ratio_to_reference"),
        "quality is measured",
        seconds=120,
    )
    (dataset,) = demo.prometheus.label_values("evidently:window_rows", "dataset")
    for file in FILES:
        for query in queries(load(file)):
            expression = query.filled(dataset=dataset)
            ask = demo.prometheus.query if query.instant else demo.prometheus.query_range
            wait_until(lambda ask=ask, of=expression: ask(of), f"{query} has data", seconds=60)  # type: ignore[misc]
    wait_until(
        lambda: not demo.prometheus.firing() & {"DataDrifted", "PredictionDrifted", "QualityFell"},
        "customers like those of the training are no alarm",
        seconds=150,
    )


@pytest.mark.parametrize("service", SERVICES)
def test_killed_service_comes_back(demo: Demo, service: str) -> None:
    check_killed_service_comes_back(demo, service)


# Some thirty commands, two searches among them.
@pytest.mark.timeout(900)
def test_commands_of_the_readme_work_as_they_stand(demo: Demo) -> None:
    for command in commands_of(ROOT / "README.md"):
        if not command.startswith(tuple(RUN_ELSEWHERE)):
            if command == "make backup":
                demo.kept = Kept.of(demo)
            Command(demo, command).run()


def test_nothing_is_left_behind(demo: Demo) -> None:
    """The README's last command was `make reset_all`."""
    assert demo.project.processes() == {}
    assert not (demo.project.folder / ".embedded").exists()
    assert not (demo.project.folder / ".env").exists()


def test_what_was_saved_is_restored_into_a_stack_that_is_new(demo: Demo) -> None:
    assert demo.kept is not None
    check_backup_comes_back(demo, demo.kept, "embedded")


class Command:
    """A command of the README, run in the copy and on its ports."""

    def __init__(self, demo: Demo, text: str) -> None:
        self._demo, self._text = demo, text

    def run(self) -> None:
        text = self._text.replace("127.0.0.1:9696", self._demo.api.removeprefix("http://"))
        text = text.replace("RUN_ID=...", f"RUN_ID={self._demo.another_run()}")
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self._demo.project.folder,
            env={**os.environ, **self._demo.project.variables, "TRAIN_TRIALS": "10"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}"
        self._check(done.stdout)

    def _check(self, output: str) -> None:
        """What the README promises of some of them."""
        if "/feedback" in self._text:
            assert json.loads(output[output.index("{") :]) == {"accepted": 1}
        elif "/predict" in self._text and "fifty" not in self._text:
            answer = json.loads(output[output.index("{") :])
            assert set(answer) == {"churn chance", "model_run_id", "prediction_id"}
        elif "fifty" in self._text:
            assert "/customer_age" in output
        elif self._text.startswith("make train"):
            assert "make deploy RUN_ID=" in output
        elif self._text == "make report":
            assert re.search(r"(?m)^verdict +(drift|no drift)$", output), output
            assert re.search(rf"(?m)^report +{self._demo.reports}/\S+\.html$", output), output


def test_every_command_of_the_readme_is_run() -> None:
    commands = commands_of(ROOT / "README.md")
    assert commands[0] == "make demo"
    assert commands[-1] == "make reset_all env=embedded"
    for elsewhere in RUN_ELSEWHERE:
        assert any(command.startswith(elsewhere) for command in commands)


def test_every_command_of_contributing_is_run_by_ci() -> None:
    """One that runs part of the tests, which `make test` runs, has to find them."""
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    for command in commands_of(ROOT / "CONTRIBUTING.md"):
        if "pytest" in command:
            arguments = command.removeprefix(".venv/bin/python ").split()
            found = subprocess.run(
                [sys.executable, *arguments, "--collect-only", "--quiet"],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert found.returncode == 0, found.stdout
        else:
            assert command in ci
