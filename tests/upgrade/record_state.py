"""Record the state of this release, for the test that the next one takes it over.

Usage: python -m tests.upgrade.record_state FOLDER

It runs a stack in a copy of the project, on the synthetic sample, and crashes it while MongoDB is
away. FOLDER gets `state.tar.gz`, a `backup.tar.gz` of shortly before, and `expected.json`, which
says what is in the state. It uses only make, HTTP, the streams and the documents in MongoDB: what
has to stay as it is anyway.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import psutil
import requests
import yaml
from mlflow import MlflowClient
from pymongo import MongoClient

from tests.support.aws import KEYS, StreamTail, put
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.recorded_state import pack
from tests.support.waiting import wait_until

CONTRACT = yaml.safe_load(Path("contracts/credit_card_churn.yaml").read_text(encoding="utf-8"))
EXAMPLE = {feature["name"]: feature["example"] for feature in CONTRACT["features"]}
YEAR = "525600"
# All of it stays in the recorded `.env`. Nothing may expire or come due before the fixture is
# used, years later: neither pruning nor a schedule.
GIVEN = {
    "DATA_FILE": "contracts/credit_card_churn_sample.csv",
    "TRAIN_TRIALS": "3",
    "TRAIN_SEED": "1",
    "SIMULATION_OUTCOME_SHARE": "0",
    "TRAIN_EVERY_MINUTES": YEAR,
    "PRUNE_EVERY_MINUTES": YEAR,
    "REPORT_TIME_WINDOW_MINUTES": YEAR,
    **{f"KEEP_{what}_DAYS": "36500" for what in ("RUNS", "PREDICTIONS", "REPORTS", "HISTORY")},
}
Entries = list[dict[str, Any]]


class Recording:
    """A stack that is used, and then crashes."""

    def __init__(self, project: ProjectCopy) -> None:
        self._project, self._numbers = project, count()
        self._api = f"http://127.0.0.1:{project.port('API_PORT')}"

    def run(self) -> dict[str, Any]:
        """Use the stack and crash it; return what its state has to hold."""
        self._make("setup-model-registry", env="embedded", **GIVEN)
        self._make("init_aws")
        self._make("apply-model-train-flow")
        winner = re.findall(r"(?m)^winner +(\w+)$", self._make("train"))[0]
        previous = self._another_run(winner)
        self._make("setup-model-serve", RUN_ID=previous, DEPLOYED_BY="recorder")
        sent = self._predict(20)
        self._make("deploy", RUN_ID=winner, DEPLOYED_BY="recorder")
        sent += self._predict(20) + self._predict_on_stream(20)
        outcomes = self._report_outcomes(sent[::3])
        self._wait_until_stored(sent, outcomes)
        self._make("apply-prediction-reporting")
        report = re.findall(r"(?m)^report +\S+/(\S+\.html)$", self._make("report"))[0]
        self._make("backup")
        deployments = [line.split() for line in self._make("deployments").splitlines()[1:]]
        status = re.findall(r"(?m)^(\S+) +running +(\d+) ", self._make("status"))
        services = {name: psutil.Process(int(pid)) for name, pid in status}
        # supervisord first: it would start again what is killed.
        psutil.Process(services["mongo"].ppid()).kill()
        _kill(services["send_data-api"], services["send_data-kinesis"])
        documents = self._wait_until_stored(sent, outcomes)
        _kill(services["mongo"])
        spooled = self._predict(12) + self._predict_on_stream(12)
        spooled_outcomes = self._report_outcomes([*spooled[::4], *sent[1::10]])
        _kill(*services.values())
        ids = {document["_id"] for document in documents}
        revision = ["git", "rev-parse", "--short=7", "HEAD"]
        return {
            "revision": subprocess.check_output(revision, text=True).strip(),
            "recorded_at": datetime.now(UTC).isoformat(),
            "contract_digest": documents[0]["contract"]["hash"],
            "deployed": winner,
            "previous": previous,
            "deployments": [words[2:5] for words in deployments],
            "reports": [report],
            "stored": sent,
            "stored_outcomes": outcomes,
            "stored_of_simulators": sorted(ids - {each["prediction_id"] for each in sent}),
            "spooled": spooled,
            "spooled_outcomes": spooled_outcomes,
        }

    def _make(self, target: str, **variables: str) -> str:
        print(f"make {target}", flush=True)  # noqa: T201 - progress, for the person who waits
        done = self._project.make(target, timeout=600, **variables)
        if done.returncode:
            sys.exit(done.stdout)
        return done.stdout

    def _another_run(self, winner: str) -> str:
        client = MlflowClient(f"http://127.0.0.1:{self._project.port('MLFLOW_PORT')}")
        trials = client.search_runs(
            [client.get_run(winner).info.experiment_id], "tags.`mlflow.parentRunId` != ''"
        )
        return next(str(run.info.run_id) for run in trials if run.info.run_id != winner)

    def _customers(self, number: int) -> Entries:
        numbers = [next(self._numbers) for _ in range(number)]
        changes = ({"customer_age": 26 + n % 50, "credit_limit": 1500.5 + 97 * n} for n in numbers)
        return [{**EXAMPLE, **change} for change in changes]

    def _predict(self, number: int) -> Entries:
        """Predict over HTTP, a connection each: so every worker process has its share."""
        entries = []
        for customer in self._customers(number):
            answer = requests.post(f"{self._api}/predict", json=customer, timeout=30)
            answer.raise_for_status()
            entries.append(_entry({**customer, **_answered(answer.content), "source": "api"}))
        return entries

    def _predict_on_stream(self, number: int) -> Entries:
        url = f"http://127.0.0.1:{self._project.port('AWS_PORT')}"
        client = boto3.client("kinesis", endpoint_url=url)
        customers = self._customers(number)
        puts = put(client, [json.dumps(customer).encode() for customer in customers])
        tail = StreamTail(client, "results")

        def answers() -> dict[str, dict[str, Any]]:
            found = [_answered(record["Data"]) for record in tail.read()]
            return {f"{each['shard_id']} {each['sequence_number']}": each for each in found}

        places = [f"{each.shard_id} {each.sequence_number}" for each in puts]
        wait_until(lambda: answers().keys() >= set(places), "the stream server answers", 60)
        there = answers()
        return [
            _entry({**customer, **there[place], "source": "kinesis"})
            for customer, place in zip(customers, places, strict=True)
        ]

    def _report_outcomes(self, entries: Entries) -> dict[str, int]:
        outcomes = {each["prediction_id"]: n % 2 for n, each in enumerate(entries)}
        feedback = [{"prediction_id": i, "churned": bool(v)} for i, v in outcomes.items()]
        requests.post(f"{self._api}/feedback", json=feedback, timeout=30).raise_for_status()
        return outcomes

    def _wait_until_stored(self, sent: Entries, outcomes: dict[str, int]) -> Entries:
        """Wait until MongoDB has all that was sent, and no more comes; return its documents."""
        uri = f"mongodb://127.0.0.1:{self._project.port('MONGO_PORT')}"
        before: Entries = []
        with MongoClient[dict[str, Any]](uri, timeoutMS=10_000) as client:
            while True:
                now = list(client["prediction_service"]["data"].find().sort("_id"))
                targets = {each["_id"]: each.get("target") for each in now}
                complete = {each["prediction_id"] for each in sent} <= targets.keys()
                if complete and outcomes.items() <= targets.items() and len(now) == len(before):
                    return now
                before = now
                time.sleep(3)


def _answered(data: bytes) -> dict[str, Any]:
    """Read an answer; its keys are then those that MongoDB has."""
    answer = json.loads(data)
    return {**answer, "_id": answer["prediction_id"], "prediction": answer[CONTRACT["answer"]]}


def _entry(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "prediction_id": document["_id"],
        "run_id": document["model_run_id"],
        "chance": document["prediction"],
        "source": document["source"],
        "customer": {name: document[name] for name in EXAMPLE},
    }


def _kill(*services: psutil.Process) -> None:
    for service in filter(psutil.Process.is_running, services):
        for process in (*service.children(recursive=True), service):
            process.kill()
    psutil.wait_procs(services, timeout=10)


if __name__ == "__main__":
    os.environ.update(KEYS)  # the emulator takes any, and boto3 wants some
    output = Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="mlstack-state-") as scratch,
        project_copy(Path(scratch) / "project") as copy,
    ):
        expected = json.dumps(Recording(copy).run(), indent=1)
        pack(copy.folder, output / "state.tar.gz")
        (backup,) = (copy.folder / "backups").glob("*.tar.gz")
        shutil.copyfile(backup, output / "backup.tar.gz")
    (output / "expected.json").write_text(f"{expected}\n", encoding="utf-8")
