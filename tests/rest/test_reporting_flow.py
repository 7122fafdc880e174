"""The reporting flow as people run it: make, Prefect, a worker and MongoDB, all real."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import requests
from pymongo import MongoClient

from mlstack.settings import ROOT
from support.project_copy import ProjectCopy, project_copy
from support.waiting import wait_until

SERVICES = ("prefect-server", "agent", "mongo", "nginx")
DEPLOYMENT = "evidently_data_reporting/evidently_data_reporting"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProjectCopy]:
    """A copy of the project with its services up and the flow applied."""
    with project_copy(tmp_path_factory.mktemp("project")) as copy:
        copy.variables["REPORT_TIME_WINDOW_MINUTES"] = "45"
        started = copy.supervise("start", *SERVICES)
        assert started.returncode == 0, started.stdout
        applied = copy.make("apply-prediction-reporting", env="embedded")
        assert applied.returncode == 0, applied.stdout
        yield copy


def _deployment(stack: ProjectCopy) -> dict[str, Any]:
    address = f"http://127.0.0.1:{stack.port('PREFECT_PORT')}/api/deployments/name/{DEPLOYMENT}"
    answer: dict[str, Any] = requests.get(address, timeout=30).json()
    return answer


def test_applying_the_flow_again_changes_nothing_and_says_so(stack: ProjectCopy) -> None:
    again = stack.make("apply-prediction-reporting", env="embedded").stdout
    assert again.count(": unchanged") == 3, again


def test_the_schedule_has_one_report_a_window_and_one_run_at_a_time(stack: ProjectCopy) -> None:
    deployment = _deployment(stack)
    [schedule] = deployment["schedules"]
    assert schedule["schedule"]["interval"] == 45 * 60
    assert deployment["parameters"]["window_minutes"] == 45
    assert deployment["global_concurrency_limit"]["limit"] == 1
    assert deployment["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"


def test_the_schedule_brings_runs_when_they_are_due(stack: ProjectCopy) -> None:
    """Prefect makes them ahead, by a service of its own: a schedule alone starts nothing."""
    address = f"http://127.0.0.1:{stack.port('PREFECT_PORT')}/api/flow_runs/filter"
    wanted = {
        "deployments": {"id": {"any_": [_deployment(stack)["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        "sort": "EXPECTED_START_TIME_ASC",
    }

    def due() -> list[datetime]:
        runs = requests.post(address, json=wanted, timeout=30).json()
        return [
            datetime.fromisoformat(run["expected_start_time"])
            for run in runs
            if run["auto_scheduled"]
        ]

    wait_until(due, "runs are scheduled", seconds=90)
    first, second, *_ = due()
    assert second - first == timedelta(minutes=45)


def test_a_run_that_goes_silent_is_taken_for_dead_as_one_of_training_is(
    stack: ProjectCopy,
) -> None:
    """One automation watches all runs: they must send heartbeats alike."""
    variables = _deployment(stack)["job_variables"]["env"]
    assert variables == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}


def test_without_predictions_there_is_a_sentence_and_an_index_and_no_failure(
    stack: ProjectCopy,
) -> None:
    made = stack.make("report", env="embedded")
    assert made.returncode == 0, made.stdout
    assert "no report: a report on credit_card_churn needs 30 predictions" in made.stdout
    assert (stack.folder / ".embedded/reports/index.html").exists()
    address = f"http://127.0.0.1:{stack.port('REPORTS_PORT')}/"
    index = requests.get(address, timeout=5)
    assert index.text == (ROOT / "reporting/nginx/empty.html").read_text()
    uri = f"mongodb://127.0.0.1:{stack.port('MONGO_PORT')}"
    with MongoClient[dict[str, Any]](uri) as client:
        assert client["prediction_service"]["report"].count_documents({}) == 0


def test_a_run_that_fails_says_why_and_fails_the_target(stack: ProjectCopy) -> None:
    stopped = stack.supervise("stop", "mongo")
    assert stopped.returncode == 0, stopped.stdout
    made = stack.make("report", env="embedded")
    assert stack.supervise("start", "mongo").returncode == 0
    assert made.returncode != 0
    assert "MongoDB: " in made.stdout, made.stdout
