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
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient
from sklearn.metrics import roc_auc_score

from mlstack.contract import Contract
from mlstack.dataset import clean, read_raw
from mlstack.encoder import Encoder
from mlstack.settings import ROOT
from support.dashboards import FILES, load, queries
from support.project_copy import ProjectCopy, project_copy
from support.prometheus import Prometheus
from support.real_data import real_table
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

Customers = list[dict[str, Any]]


class Demo:
    """A stack that `make demo` brought up."""

    def __init__(self, project: ProjectCopy, output: str, held_out: pd.DataFrame) -> None:
        self.project, self.output = project, output
        self.contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
        self.held_out = clean(held_out, self.contract)
        self.api = f"http://127.0.0.1:{project.port('API_PORT')}"
        self.mlflow = f"http://127.0.0.1:{project.port('MLFLOW_PORT')}"
        self.prometheus = Prometheus(f"http://127.0.0.1:{project.port('PROMETHEUS_PORT')}")

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.mlflow)

    def customers(self) -> Customers:
        rows = self.held_out[list(self.contract.feature_names)].astype(object)
        customers: Any = rows.to_dict("records")
        return list(customers)

    def answers(self) -> list[dict[str, Any]]:
        """Of the customers who were left out."""
        customers = self.customers()
        answers: list[dict[str, Any]] = []
        for start in range(0, len(customers), 1000):
            batch = customers[start : start + 1000]
            answer = requests.post(f"{self.api}/predict/batch", json=batch, timeout=30)
            assert answer.status_code == 200, answer.text
            answers += answer.json()
        return answers

    def chances(self) -> list[float]:
        return [answer[self.contract.answer] for answer in self.answers()]

    def report_outcomes(self) -> None:
        """Of the same customers, once more predicted."""
        outcomes = [
            {"prediction_id": answer["prediction_id"], "churned": bool(churned)}
            for answer, churned in zip(self.answers(), self.held_out["churned"], strict=True)
        ]
        for start in range(0, len(outcomes), 500):
            batch = outcomes[start : start + 500]
            answer = requests.post(f"{self.api}/feedback", json=batch, timeout=30)
            assert answer.status_code == 200, answer.text

    def served_run(self) -> str | None:
        try:
            answer = requests.get(f"{self.api}/health/ready", timeout=5)
        except requests.ConnectionError:
            return None
        return answer.json()["model_run_id"] if answer.status_code == 200 else None

    def champion(self, model: str = "credit_card_churn") -> str:
        return str(self.client.get_model_version_by_alias(model, "champion").run_id)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    folder = tmp_path_factory.mktemp("walkthrough")
    real = real_table()
    raw = read_raw(real or ROOT / "data" / "credit_card_churn_sample.csv")
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


def test_customers_that_were_left_out_are_predicted_well(demo: Demo) -> None:
    auc = roc_auc_score(demo.held_out["churned"], demo.chances())
    # Five folds of the real table give .81 with a spread of .02; chance alone gives .5.
    assert auc > 0.75


def test_every_model_is_tracked_and_the_best_is_registered(demo: Demo) -> None:
    version = demo.client.get_model_version_by_alias("credit_card_churn", "champion")
    winner = demo.client.get_run(str(version.run_id))
    parent_id = winner.data.tags["mlflow.parentRunId"]
    trials = demo.client.search_runs(
        [winner.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'"
    )
    assert len(trials) == 50
    assert {trial.info.status for trial in trials} == {"FINISHED"}
    best = min(trials, key=lambda trial: trial.data.metrics["rmse"])
    assert best.info.run_id == winner.info.run_id
    challenger = demo.client.get_model_version_by_alias("credit_card_churn", "challenger")
    assert challenger.version == version.version


def test_registered_model_opens_with_mlflow_and_agrees_with_the_server(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", demo.mlflow)
    mlflow.set_tracking_uri(demo.mlflow)
    model = mlflow.pyfunc.load_model("models:/credit_card_churn@champion")
    encoder = Encoder(demo.contract)
    matrix = pd.DataFrame(encoder.encode(demo.customers()), columns=list(encoder.columns))
    np.testing.assert_allclose(demo.chances(), model.predict(matrix), atol=1e-6)


def test_second_demo_starts_from_what_is_there(demo: Demo) -> None:
    served = demo.served_run()
    again = demo.project.make("demo", timeout=300)
    assert again.returncode == 0, again.stdout
    assert "== Train" not in again.stdout
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
    assert "credit_limit" in gauge
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
    served, pid = demo.served_run(), demo.project.pid(service)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: demo.project.pid(service) not in (None, pid), f"{service} is restarted")

    def ready() -> bool:
        status = demo.project.supervise("status").stdout
        return bool(re.search(rf"^{service}\s.*\byes\b", status, re.MULTILINE))

    wait_until(ready, f"{service} is ready", seconds=90)
    assert demo.served_run() == served


def test_commands_of_the_readme_work_as_they_stand(demo: Demo) -> None:
    for command in commands_of(ROOT / "README.md"):
        if not command.startswith(tuple(RUN_ELSEWHERE)):
            Command(demo, command).run()


def test_nothing_is_left_behind(demo: Demo) -> None:
    """The README's last command was `make reset_all`."""
    assert demo.project.processes() == {}
    assert not (demo.project.folder / ".embedded").exists()
    assert not (demo.project.folder / ".env").exists()


class Command:
    """A command of the README, run in the copy and on its ports."""

    def __init__(self, demo: Demo, text: str) -> None:
        self._demo, self._text = demo, text

    def run(self) -> None:
        text = self._text.replace("127.0.0.1:9696", self._demo.api.removeprefix("http://"))
        text = text.replace("RUN_ID=...", f"RUN_ID={self._another_run()}")
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

    def _another_run(self) -> str:
        """A finished trial of the newest search; not the one that is served."""
        versions = self._demo.client.search_model_versions("")
        newest = max(versions, key=lambda version: version.creation_timestamp)
        winner = self._demo.client.get_run(str(newest.run_id))
        parent_id = winner.data.tags["mlflow.parentRunId"]
        trials = self._demo.client.search_runs(
            [winner.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'"
        )
        served = self._demo.served_run()
        return next(str(t.info.run_id) for t in trials if t.info.run_id != served)

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
