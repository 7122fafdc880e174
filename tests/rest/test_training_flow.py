"""The training flow as people run it: make, Prefect, a worker, MLflow and S3, all real."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import requests
from mlflow import MlflowClient
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from mlstack.contract import Contract
from mlstack.settings import ROOT
from support.project_copy import ProjectCopy, project_copy
from support.waiting import wait_until

SERVICES = ("mlflow", "prefect-server", "aws", "agent")
DEPLOYMENT = "model_tuning_and_uploading/model_tuning_and_uploading"
TRIALS = 3
CRASHED_WITHIN_SECONDS = 180


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectCopy]:
    """A copy of the project with its services up, its data in S3 and the flow applied."""
    with project_copy(tmp_path_factory.mktemp("project")) as copy:
        copy.variables["TRAIN_TRIALS"] = str(TRIALS)
        started = copy.supervise("start", *SERVICES)
        assert started.returncode == 0, started.stdout
        _send(copy, _sample())
        applied = copy.make("apply-model-train-flow", env="embedded")
        assert applied.returncode == 0, applied.stdout
        yield copy


@pytest.fixture(scope="module")
def trained(stack: ProjectCopy) -> str:
    """What `make train` says when all goes well."""
    made = stack.make("train", env="embedded")
    assert made.returncode == 0, made.stdout
    return made.stdout


def _contract() -> Contract:
    return Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")


def _sample() -> bytes:
    sample = _contract().data.sample
    assert sample is not None
    return (ROOT / sample).read_bytes()


def _send(stack: ProjectCopy, table: bytes) -> None:
    """Puts a raw table into the feature store."""
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{stack.port('AWS_PORT')}",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 - the emulator takes any
    )
    s3.create_bucket(Bucket="feature-store")
    s3.put_object(Bucket="feature-store", Key=_contract().data.key, Body=table)


def _mlflow(stack: ProjectCopy) -> MlflowClient:
    return MlflowClient(f"http://127.0.0.1:{stack.port('MLFLOW_PORT')}")


def _prefect(stack: ProjectCopy, method: str, path: str, body: object = None) -> dict[str, Any]:
    with requests.Session() as session:
        # 503: its database is busy; Prefect's own client tries again, too.
        busy = Retry(total=8, backoff_factor=0.2, status_forcelist=[503], allowed_methods=None)
        session.mount("http://", HTTPAdapter(max_retries=busy))
        address = f"http://127.0.0.1:{stack.port('PREFECT_PORT')}/api/{path}"
        answer = session.request(method, address, json=body, timeout=30)
    answer.raise_for_status()
    content: dict[str, Any] = answer.json()
    return content


def _only(pattern: str, text: str) -> str:
    [found] = re.findall(pattern, text)
    return str(found)


def test_applying_the_flow_again_changes_nothing_and_says_so(stack: ProjectCopy) -> None:
    again = stack.make("apply-model-train-flow", env="embedded").stdout
    assert again.count(": unchanged") == 3, again


def test_the_schedule_keeps_one_run_at_a_time_and_cancels_the_others(stack: ProjectCopy) -> None:
    deployment = _prefect(stack, "GET", f"deployments/name/{DEPLOYMENT}")
    [schedule] = deployment["schedules"]
    assert schedule["schedule"]["interval"] == 180 * 60
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_make_train_shows_its_progress_and_what_to_do_next(trained: str) -> None:
    for number in range(1, TRIALS + 1):
        assert re.search(rf"trial {number} of {TRIALS}: rmse 0\.\d+, best 0\.\d+", trained)
    winner = _only(r"deploy it: make deploy RUN_ID=([0-9a-f]{32})", trained)
    assert f"winner    {winner}" in trained
    assert "credit_card_churn 1: challenger, champion" in trained


def test_a_run_leaves_a_parent_a_run_for_every_trial_and_a_version_in_mlflow(
    stack: ProjectCopy, trained: str
) -> None:
    client = _mlflow(stack)
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


def test_bad_data_ends_the_run_before_training_and_names_the_column(stack: ProjectCopy) -> None:
    text = _sample().decode()
    raw = _contract().features[0].raw
    _send(stack, text.replace(raw, "Somebody_Renamed_It", 1).encode())
    made = stack.make("train", env="embedded")
    _send(stack, _sample())
    assert made.returncode != 0
    assert f"column {raw!r}: is not in the table" in made.stdout.splitlines()[-3:][0], made.stdout
    assert "trial 1 of" not in made.stdout


def test_a_dead_run_is_marked_crashed_though_the_server_died_too_and_the_next_one_trains(
    stack: ProjectCopy, tmp_path: Path
) -> None:
    """While a run goes on, another one is cancelled and `make train` follows the first."""
    output = (tmp_path / "train.log").open("w+")
    train = subprocess.Popen(
        ["make", "train", "env=embedded", "TRAIN_TRIALS=10000", *_given(stack)],
        cwd=stack.folder,
        stdout=output,
        stderr=subprocess.STDOUT,
    )

    def said() -> str:
        return (tmp_path / "train.log").read_text()

    try:
        wait_until(lambda: "trial 5 of 10000" in said(), "the run trains", 120)
        run_id = _only(r"^started: .*/flow-run/(\S+)", said())
        assert _state_of_another_run(stack) == "Cancelled"

        _kill_with_children(stack.pid("agent"))
        _kill_with_children(stack.pid("prefect-server"))
        train.wait(CRASHED_WITHIN_SECONDS)
    finally:
        train.kill()
        output.close()
    assert train.returncode != 0
    assert "is Crashed: No heartbeat" in said(), said()
    assert _state(stack, run_id) == "Crashed"

    made = stack.make("train", env="embedded")
    assert made.returncode == 0, made.stdout


def _given(stack: ProjectCopy) -> list[str]:
    return [f"{k}={v}" for k, v in stack.variables.items() if k != "TRAIN_TRIALS"]


def _state(stack: ProjectCopy, run_id: object) -> object:
    return _prefect(stack, "GET", f"flow_runs/{run_id}")["state"]["name"]


def _state_of_another_run(stack: ProjectCopy) -> object:
    """Starts a run as the schedule does, and waits for its end."""
    deployment = _prefect(stack, "GET", f"deployments/name/{DEPLOYMENT}")["id"]
    run_id = _prefect(stack, "POST", f"deployments/{deployment}/create_flow_run", {})["id"]
    wait_until(
        lambda: _state(stack, run_id) not in ("Scheduled", "Late", "Pending"), "it is decided on"
    )
    return _state(stack, run_id)


def _kill_with_children(pid: int | None) -> None:
    assert pid is not None
    process = psutil.Process(pid)
    for each in (process, *process.children(recursive=True)):
        os.kill(each.pid, signal.SIGKILL)
