"""This release takes over the state of an older one that crashed.

`tests/upgrade/record_state.py` made the state, and `expected.json` says what is in it. The tests
share one stack and follow each other.
"""

import json
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from pymongo import MongoClient

from mlstack.settings import ROOT
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.recorded_state import unpack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(600)  # a busy machine takes long to start everything
RECORDED = ROOT / "tests" / "upgrade"
ANSWER = "churn chance"
Entries = list[dict[str, Any]]


class Upgraded:
    """A stack of this release on the state of the one before.

    Args:
        project: The copy of the project that it runs from.
        expected: What the state holds.
    """

    def __init__(self, project: ProjectCopy, expected: dict[str, Any]) -> None:
        self.project, self.expected = project, expected
        self.api = f"http://127.0.0.1:{project.port('API_PORT')}"

    def make(self, *targets: str, **variables: str) -> str:
        """Run make, which has to succeed; return what it says."""
        done = self.project.make(*targets, timeout=300, **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def predictions(self) -> Entries:
        """Read the predictions in MongoDB that are older than the upgrade."""
        uri = f"mongodb://127.0.0.1:{self.project.port('MONGO_PORT')}"
        recorded_at = datetime.fromisoformat(self.expected["recorded_at"])
        with MongoClient[dict[str, Any]](uri, tz_aware=True, timeoutMS=5000) as client:
            data = client["prediction_service"]["data"]
            return list(data.find({"created_at": {"$lte": recorded_at}}))

    def check_same_answers(self, run_id: str) -> None:
        """Check that a run answers its recorded customers as it did then, bit for bit."""
        recorded = [*self.expected["stored"], *self.expected["spooled"]]
        of_run = [each for each in recorded if each["run_id"] == run_id]
        assert of_run
        for each in of_run:
            answer = requests.post(f"{self.api}/predict", json=each["customer"], timeout=30)
            assert answer.status_code == 200, answer.text
            assert answer.json()["model_run_id"] == run_id
            assert answer.json()[ANSWER] == each["chance"]


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    expected = json.loads((RECORDED / "expected.json").read_text(encoding="utf-8"))
    folder = tmp_path_factory.mktemp("upgrade") / "project"
    with project_copy(folder) as project:
        unpack(RECORDED / "state.tar.gz", folder)
        stack = Upgraded(project, expected)
        # The release before had the sample in another folder, which its settings name.
        stack.make("setup-model-registry", env="embedded", DATA_FILE="")
        stack.make("setup-model-serve")
        yield stack


def test_every_prediction_reaches_mongodb_once(upgraded: Upgraded) -> None:
    """Those that were stored and those in spools, unchanged."""
    stored, spooled = upgraded.expected["stored"], upgraded.expected["spooled"]
    recorded = {each["prediction_id"]: each for each in (*stored, *spooled)}
    others = upgraded.expected["stored_of_simulators"]
    ids = sorted([*others, *(each["prediction_id"] for each in (*stored, *spooled))])
    wait_until(lambda: len(upgraded.predictions()) >= len(ids), "the spools are drained")
    documents = {document["_id"]: document for document in upgraded.predictions()}
    assert sorted(documents) == ids
    for prediction_id, each in recorded.items():
        document = documents[prediction_id]
        assert document["prediction"] == each["chance"]
        assert document["model_run_id"] == each["run_id"]
        assert document["source"] == each["source"]
        assert document["contract"]["hash"] == upgraded.expected["contract_digest"]
        assert {name: document[name] for name in each["customer"]} == each["customer"]


def test_every_outcome_reaches_its_prediction(upgraded: Upgraded) -> None:
    """Those that were stored and those in spools."""
    outcomes = upgraded.expected["stored_outcomes"] | upgraded.expected["spooled_outcomes"]

    def known() -> dict[str, int]:
        documents = upgraded.predictions()
        return {each["_id"]: each["target"] for each in documents if "target" in each}

    wait_until(lambda: known() == outcomes, "the outcomes are with their predictions")


def test_deployed_run_answers_as_before(upgraded: Upgraded) -> None:
    """The same run is served, and its scores are equal bit for bit."""
    ready = requests.get(f"{upgraded.api}/health/ready", timeout=5)
    assert ready.json()["model_run_id"] == upgraded.expected["deployed"]
    upgraded.check_same_answers(upgraded.expected["deployed"])


def test_registry_has_its_runs(upgraded: Upgraded) -> None:
    """MLflow's database and aliases are taken over."""
    client = MlflowClient(f"http://127.0.0.1:{upgraded.project.port('MLFLOW_PORT')}")
    champion = client.get_model_version_by_alias("credit_card_churn", "champion")
    assert champion.run_id == upgraded.expected["deployed"]
    assert client.get_run(upgraded.expected["previous"]).info.status == "FINISHED"


def test_reports_are_listed(upgraded: Upgraded) -> None:
    """Pages of the release before are listed and served."""
    pages = f"http://127.0.0.1:{upgraded.project.port('REPORTS_PORT')}"
    listing = requests.get(f"{pages}/", timeout=5).text
    assert upgraded.expected["reports"]
    for name in upgraded.expected["reports"]:
        assert name in listing
        assert requests.get(f"{pages}/{name}", timeout=5).status_code == 200


def test_schedules_find_their_flows(upgraded: Upgraded) -> None:
    """Prefect keeps the file of each flow: one that was moved would never run again."""
    prefect = f"http://127.0.0.1:{upgraded.project.port('PREFECT_PORT')}/api"
    deployments = requests.post(f"{prefect}/deployments/filter", json={}, timeout=10).json()
    assert len(deployments) == 3
    for deployment in deployments:
        step = deployment["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]
        assert step["directory"] in ("{{ $MLSTACK_ROOT }}", str(upgraded.project.folder))
        file, _, function = deployment["entrypoint"].partition(":")
        code = (upgraded.project.folder / file).read_text(encoding="utf-8")
        assert re.search(rf"(?m)^(async )?def {function}\(", code)


def test_rollback_goes_to_the_run_before(upgraded: Upgraded) -> None:
    """The history of the release before goes on."""
    expected = upgraded.expected
    assert f"run {expected['previous']} is deployed" in upgraded.make("rollback")
    upgraded.check_same_answers(expected["previous"])
    lines = [line.split() for line in upgraded.make("deployments").splitlines()[1:]]
    assert [words[2:5] for words in lines] == [
        *expected["deployments"],
        ["rollback", expected["deployed"], expected["previous"]],
    ]
