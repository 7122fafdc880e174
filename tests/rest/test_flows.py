"""Both flows as people run them: make, Prefect, a worker, MLflow, S3 and MongoDB, all real.

The tests of this file share one stack and follow each other.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from mlflow import MlflowClient
from pymongo import MongoClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from mlstack.contract import Contract
from mlstack.settings import ROOT
from tests.support.aws import aws_client
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # a busy machine takes long to start everything
SERVICES = ("mlflow", "prefect-server", "aws", "agent", "mongo", "nginx")
TRAINING = "model_tuning_and_uploading/model_tuning_and_uploading"
REPORTING = "evidently_data_reporting/evidently_data_reporting"
APPLY = {TRAINING: "apply-model-train-flow", REPORTING: "apply-prediction-reporting"}
MINUTES = {TRAINING: 180, REPORTING: 45}
TRIALS = 3
CRASHED_WITHIN_SECONDS = 180
each_flow = pytest.mark.parametrize("flow", APPLY, ids=["training", "reporting"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectCopy]:
    """A copy of the project with its services up, its data in S3 and both flows applied."""
    with project_copy(tmp_path_factory.mktemp("project")) as copy:
        copy.variables["TRAIN_TRIALS"] = str(TRIALS)
        copy.variables["REPORT_TIME_WINDOW_MINUTES"] = str(MINUTES[REPORTING])
        started = copy.supervise("start", *SERVICES)
        assert started.returncode == 0, started.stdout
        _send(copy, _sample())
        for target in APPLY.values():
            applied = copy.make(target, env="embedded")
            assert applied.returncode == 0, applied.stdout
        yield copy


@pytest.fixture(scope="module")
def trained(stack: ProjectCopy) -> str:
    """What `make train` prints when all goes well."""
    made = stack.make("train", env="embedded")
    assert made.returncode == 0, made.stdout
    return made.stdout


@each_flow
def test_applying_a_flow_again_changes_nothing(stack: ProjectCopy, flow: str) -> None:
    """It says of each part that it is unchanged."""
    again = stack.make(APPLY[flow], env="embedded").stdout
    assert again.count(": unchanged") == 3, again


@each_flow
def test_schedule_keeps_one_run_at_a_time(stack: ProjectCopy, flow: str) -> None:
    """It has the interval of its setting, and cancels a run that comes due during another one."""
    kept = _schedule(stack, flow)
    [schedule] = kept["schedules"]
    assert schedule["schedule"]["interval"] == MINUTES[flow] * 60
    assert kept["global_concurrency_limit"]["limit"] == 1
    assert kept["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_report_window_is_as_long_as_its_interval(stack: ProjectCopy) -> None:
    """There is one report for each window."""
    assert _schedule(stack, REPORTING)["parameters"]["window_minutes"] == MINUTES[REPORTING]


def test_schedule_plans_its_runs(stack: ProjectCopy) -> None:
    """Prefect plans them by a service of its own: a schedule alone starts nothing."""
    wanted = {
        "deployments": {"id": {"any_": [_schedule(stack, REPORTING)["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }

    def planned() -> list[datetime]:
        runs = _prefect(stack, "POST", "flow_runs/filter", wanted)
        return [
            datetime.fromisoformat(run["expected_start_time"])
            for run in runs
            if run["auto_scheduled"]
        ]

    wait_until(planned, "runs are scheduled", seconds=90)
    first, second, *_ = planned()
    assert second - first == timedelta(minutes=MINUTES[REPORTING])


@each_flow
def test_runs_send_heartbeats(stack: ProjectCopy, flow: str) -> None:
    """One automation watches the runs of all flows, so all have to send heartbeats alike."""
    variables = _schedule(stack, flow)["job_variables"]["env"]
    assert variables == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def test_report_without_predictions_is_a_sentence(stack: ProjectCopy) -> None:
    """There is an index without reports, and the run does not fail."""
    made = stack.make("report", env="embedded")
    assert made.returncode == 0, made.stdout
    assert "no report: a report on credit_card_churn needs 30 predictions" in made.stdout
    assert (stack.folder / ".embedded/reports/index.html").exists()
    address = f"http://127.0.0.1:{stack.port('REPORTS_PORT')}/"
    index = requests.get(address, timeout=5)
    assert "There is no report yet" in index.text
    uri = f"mongodb://127.0.0.1:{stack.port('MONGO_PORT')}"
    with MongoClient[dict[str, Any]](uri) as client:
        assert client["prediction_service"]["report"].count_documents({}) == 0


def test_failed_report_says_why_and_fails_the_target(stack: ProjectCopy) -> None:
    """`make report` without MongoDB names MongoDB, and exits with an error."""
    stopped = stack.supervise("stop", "mongo")
    assert stopped.returncode == 0, stopped.stdout
    made = stack.make("report", env="embedded")
    assert stack.supervise("start", "mongo").returncode == 0
    assert made.returncode != 0
    assert "MongoDB: " in made.stdout, made.stdout


def test_make_train_shows_its_progress_and_the_next_step(trained: str) -> None:
    """Every trial is shown, then the winner and how it is deployed."""
    for number in range(1, TRIALS + 1):
        assert re.search(rf"trial {number} of {TRIALS}: rmse 0\.\d+, best 0\.\d+", trained)
    winner = _only(r"deploy it: make deploy RUN_ID=([0-9a-f]{32})", trained)
    assert f"winner    {winner}" in trained
    assert "credit_card_churn 1: challenger, champion" in trained


def test_training_is_tracked_in_mlflow(stack: ProjectCopy, trained: str) -> None:
    """It leaves a parent run, a run for each trial with its provenance, and a version."""
    client = MlflowClient(f"http://127.0.0.1:{stack.port('MLFLOW_PORT')}")
    experiment, parent = re.findall(r"experiments/(\d+)/runs/([0-9a-f]{32})", trained)[0]
    winner = _only(r"RUN_ID=([0-9a-f]{32})", trained)
    trials = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent}'")
    assert len(trials) == TRIALS
    assert {run.info.status for run in trials} == {"FINISHED"}
    assert winner in {run.info.run_id for run in trials}
    tags = {"data_sha256", "contract", "contract_digest", "git_revision", "version.xgboost"}
    assert all(tags <= run.data.tags.keys() for run in trials)
    champion = client.get_model_version_by_alias("credit_card_churn", "champion")
    assert champion.run_id == winner
    card = f"model-card-{winner}.html"
    address = f"http://127.0.0.1:{stack.port('REPORTS_PORT')}"
    assert f"model card: {address}/{card}" in trained
    assert f"{address}/{card}" in str(champion.description)
    assert "Quality on " in requests.get(f"{address}/{card}", timeout=5).text
    assert f'href="{card}"' in requests.get(f"{address}/model-cards.html", timeout=5).text


def test_bad_data_ends_the_run_before_training(stack: ProjectCopy) -> None:
    """The last lines name the column."""
    raw = _contract().features[0].raw
    _send(stack, _sample().decode().replace(raw, "Somebody_Renamed_It", 1).encode())
    made = stack.make("train", env="embedded")
    _send(stack, _sample())
    assert made.returncode != 0
    assert f"column {raw!r}: is not in the table" in made.stdout.splitlines()[-3:][0], made.stdout
    assert "trial 1 of" not in made.stdout


def test_dead_run_is_marked_crashed_and_the_next_one_trains(
    stack: ProjectCopy, tmp_path: Path
) -> None:
    """Though Prefect's server died too. While the run went on, another one was cancelled."""
    log = tmp_path / "train.log"
    given = [f"{k}={v}" for k, v in stack.variables.items() if k != "TRAIN_TRIALS"]
    with log.open("w") as output:
        train = subprocess.Popen(
            ["make", "train", "env=embedded", "TRAIN_TRIALS=10000", *given],
            cwd=stack.folder,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "trial 5 of 10000" in log.read_text(), "the run trains", 120)
        run_id = _only(r"^started: .*/flow-run/(\S+)", log.read_text())
        assert _state_of_another_run(stack) == "Cancelled"
        _kill_with_children(stack.pid("agent"))
        _kill_with_children(stack.pid("prefect-server"))
        train.wait(CRASHED_WITHIN_SECONDS)
    finally:
        train.kill()
    assert train.returncode != 0
    assert "is Crashed: No heartbeat" in log.read_text(), log.read_text()
    assert _state(stack, run_id) == "Crashed"

    made = stack.make("train", env="embedded")
    assert made.returncode == 0, made.stdout


def _contract() -> Contract:
    return Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")


def _sample() -> bytes:
    sample = _contract().data.sample
    assert sample is not None
    return (ROOT / sample).read_bytes()


def _send(stack: ProjectCopy, table: bytes) -> None:
    """Put a raw table into the feature store."""
    s3 = aws_client("s3", stack.port("AWS_PORT"))
    s3.create_bucket(Bucket="feature-store")
    s3.put_object(Bucket="feature-store", Key=_contract().data.key, Body=table)


def _prefect(stack: ProjectCopy, method: str, path: str, body: object = None) -> Any:
    with requests.Session() as session:
        # 503: its database is busy; Prefect's own client tries again, too.
        busy = Retry(total=8, backoff_factor=0.2, status_forcelist=[503], allowed_methods=None)
        session.mount("http://", HTTPAdapter(max_retries=busy))
        address = f"http://127.0.0.1:{stack.port('PREFECT_PORT')}/api/{path}"
        answer = session.request(method, address, json=body, timeout=30)
    answer.raise_for_status()
    return answer.json()


def _schedule(stack: ProjectCopy, flow: str) -> dict[str, Any]:
    found: dict[str, Any] = _prefect(stack, "GET", f"deployments/name/{flow}")
    return found


def _only(pattern: str, text: str) -> str:
    [found] = re.findall(pattern, text)
    return str(found)


def _state(stack: ProjectCopy, run_id: object) -> object:
    return _prefect(stack, "GET", f"flow_runs/{run_id}")["state"]["name"]


def _state_of_another_run(stack: ProjectCopy) -> object:
    """Start a run as the schedule does, and wait until it starts or is cancelled."""
    schedule = _schedule(stack, TRAINING)["id"]
    run_id = _prefect(stack, "POST", f"deployments/{schedule}/create_flow_run", {})["id"]
    wait_until(
        lambda: _state(stack, run_id) not in ("Scheduled", "Late", "Pending"),
        "it starts or is cancelled",
    )
    return _state(stack, run_id)


def _kill_with_children(pid: int | None) -> None:
    assert pid is not None
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        os.kill(each.pid, signal.SIGKILL)
