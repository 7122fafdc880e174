"""Explained predictions of the real server: in a process of its own, which nobody waits for."""

import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import psutil
import pytest

from mlstack.contract import Contract
from mlstack.deployment.record import DeploymentState
from tests.support.api_server import ApiServer
from tests.support.models import keep_model
from tests.support.waiting import wait_until

RUN_ID, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def state(tmp_path: Path, documented: Contract) -> Path:
    for run_id, seed in ((RUN_ID, 1), (OTHER, 2)):
        keep_model(tmp_path, run_id, documented, seed)
    DeploymentState(tmp_path).write_record(RUN_ID, "test")
    return tmp_path


@pytest.fixture
def server(state: Path) -> Iterator[ApiServer]:
    with ApiServer(state, API_WORKERS="1") as server:
        yield server


def explainers(server: ApiServer) -> list[psutil.Process]:
    """List the processes that explain predictions."""
    return [child for worker in server.workers() for child in worker.children()]


def uses_xgboost(process: psutil.Process) -> bool:
    return any("libxgboost" in each.path for each in process.memory_maps())


def test_first_explanation_starts_a_process(server: ApiServer, documented: Contract) -> None:
    """No worker ever loads XGBoost; a deploy changes what is explained."""
    plain = server.post("/predict", dict(documented.example)).json()
    assert explainers(server) == []
    explained = server.post("/predict?explain=1", dict(documented.example)).json()
    assert explained["explanation"]["contributions"]
    assert explained[documented.answer] == plain[documented.answer]
    (explainer,) = explainers(server)
    assert uses_xgboost(explainer)
    assert not any(map(uses_xgboost, server.workers()))
    assert explainer.nice() > server.workers()[0].nice()
    DeploymentState(server.log.parent).write_record(OTHER, "test")
    wait_until(lambda: server.request("GET", "/health/ready").json()["model_run_id"] == OTHER, "it")
    other = server.post("/predict?explain=1", dict(documented.example)).json()
    assert other["model_run_id"] == OTHER
    assert other["explanation"] != explained["explanation"]
    assert explainers(server) == [explainer]


def test_killed_explainer_is_started_again(server: ApiServer, documented: Contract) -> None:
    """The next explanation starts another process; one that it was working on gets 503."""
    assert server.post("/predict?explain=1", dict(documented.example)).status == 200
    (explainer,) = explainers(server)
    explainer.kill()
    wait_until(lambda: explainer.status() == psutil.STATUS_ZOMBIE, "it is dead")
    assert server.post("/predict?explain=1", dict(documented.example)).status == 200
    (another,) = explainers(server)
    assert another != explainer
    another.suspend()
    with ThreadPoolExecutor(2) as threads:
        body = dict(documented.example)
        asked = [threads.submit(server.post, "/predict?explain=1", body) for _ in range(2)]
        # Once one has waited too long for its turn, the other one has it.
        (late,), (working,) = wait(asked, return_when=FIRST_COMPLETED)
        assert late.result().json()["code"] == "overloaded"
        another.kill()
        refused = working.result()
    assert (refused.status, refused.json()["code"]) == (503, "not_explained")
    assert server.post("/predict?explain=1", dict(documented.example)).status == 200


def test_explainer_ends_with_its_worker(server: ApiServer, documented: Contract) -> None:
    """However that ends: nothing is left behind."""
    assert server.post("/predict?explain=1", dict(documented.example)).status == 200
    (explainer,) = explainers(server)
    server.workers()[0].send_signal(signal.SIGKILL)
    wait_until(lambda: not explainer.is_running(), "it has ended")
    wait_until(server.answers, "another worker answers")
    assert server.post("/predict?explain=1", dict(documented.example)).status == 200
    (explainer,) = explainers(server)
    assert server.stop() == 0
    wait_until(lambda: not explainer.is_running(), "it has ended")


def test_explanations_do_not_block_plain_predictions(
    server: ApiServer, documented: Contract
) -> None:
    """While many wait for their turn, plain requests, health and metrics are answered."""
    body = json.dumps(dict(documented.example))
    statuses: list[int] = []

    def explain() -> None:
        for _ in range(5):
            answer = server.post("/predict?explain=1", dict(documented.example))
            assert answer.status == 200 or answer.json()["code"] == "overloaded"
            statuses.append(answer.status)

    threads = [threading.Thread(target=explain) for _ in range(32)]
    for thread in threads:
        thread.start()
    header = [("Content-Type", "application/json")]
    plain = [server.request("POST", "/predict", body, header).status for _ in range(100)]
    assert server.request("GET", "/health/ready").status == 200
    for thread in threads:
        thread.join()
    assert set(plain) == {200}
    assert len(statuses) == 160
    assert 200 in statuses
