"""The whole stack as in the cloud: docs/cloud.md, line by line, with a double of AWS.

Containers have no key and find the machine's role; what people and callers reach is the proxy,
by its names. The tests of this file share one stack and follow each other.
"""

import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pytest
import requests
from mlflow import MlflowClient
from pymongo import MongoClient

from mlstack.data.dataset import read_raw
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from tests.support.aws import StreamTail, put
from tests.support.aws_double import ROLE_KEY, Aws, aws_double
from tests.support.containers import Containers, containers_copy, docker
from tests.support.load import Load
from tests.support.names import resolved
from tests.support.ports import free_ports
from tests.support.project_copy import ProjectCopy
from tests.support.stack import Stack
from tests.support.stack_behaviour import check_deploys_by_turns
from tests.support.waiting import wait_until

NAME = "stack.example.org"
WEB = f"https://{NAME}"
LOGIN = ("ana", "a-long-enough-one")
TRIALS = 3
RATE = 20
DEPLOYS = 2
SAMPLE = "contracts/credit_card_churn_sample.csv"
SERVICES = (
    *("mlflow_server", "prefect_server", "agent", "mongo", "evidently_service"),
    *("prometheus", "alertmanager", "nginx", "proxy"),
    *("model-server-api", "model-server-streams"),
    *("send_data-api", "send_data-kinesis", "log-keeper"),
)
"""All but Grafana, whose image can be missing."""
GONE = (502, 504)
"""The proxy has looked a container up in vain, or still looks for it where it was."""
OF_AWS = {
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_PORT",
}
"""The two in the middle are the double's (aws/stack.yml), the last is a port of ours."""
OF_THIS_SHELL = {
    "AWS_ACCESS_KEY_ID": "AKIAOFTHISSHELLSUSER",
    "AWS_SECRET_ACCESS_KEY": "a key of this shell's user",
    "AWS_SESSION_TOKEN": "a token of this shell's user",
    "AWS_ENDPOINT_URL": "https://elsewhere.example",
}


class Cloud(Stack):
    """The stack, and its double of AWS."""

    environment = "cloud"
    runtime: Containers

    def __init__(
        self, project: ProjectCopy, containers: Containers, aws: Aws, ends: ExitStack
    ) -> None:
        super().__init__(
            project, containers, read_raw(ROOT / SAMPLE).frame().sample(50, random_state=1)
        )
        self.aws, self.ends = aws, ends
        unique = uuid.uuid4().hex[:8]
        self.tables, self.models = f"tables-{unique}", f"models-{unique}"

    def edit(self, **settings: str) -> None:
        """Edit `.env.cloud`, as people do."""
        path = self.project.folder / ".env.cloud"
        text = path.read_text()
        for name, value in settings.items():
            text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", text)
            assert found == 1, name
        path.write_text(text)

    def script(self, name: str, *arguments: str, answer: str = "") -> None:
        """Run one of the proxy's scripts."""
        path = self.project.folder / "cloud/nginx-tls" / name
        environment = {**os.environ, **self.project.variables}
        subprocess.run([path, *arguments], input=answer, text=True, check=True, env=environment)

    @cached_property
    def predictions(self) -> Any:
        """The database's collection, as somebody on the machine sees it."""
        password = (self.project.folder / ".secrets/mongo_password").read_text()
        port = self.project.port("MONGO_PORT")
        uri = f"mongodb://mlstack:{password}@127.0.0.1:{port}"
        client = self.ends.enter_context(MongoClient[Any](uri, timeoutMS=5000))
        return client[DATABASE]["data"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Brought up as docs/cloud.md says, from nothing but images that may be there already."""
    http, https, emulator = free_ports(3)
    folder = tmp_path_factory.mktemp("cloud")
    with ExitStack() as ends:
        amazon = f"mlstack-test-aws-{uuid.uuid4().hex[:8]}"
        aws = ends.enter_context(aws_double(amazon, emulator))
        project, containers = ends.enter_context(containers_copy(folder, "cloud"))
        here = ends.enter_context(resolved({NAME: {80: http, 443: https}, "aws": {4566: emulator}}))
        for name, value in OF_THIS_SHELL.items():
            here.setenv(name, value)
        project.variables |= {
            "AMAZON": amazon,
            "TEST_HTTP_PORT": str(http),
            "TEST_HTTPS_PORT": str(https),
        }
        stack = Cloud(project, containers, aws, ends)
        _first_start(stack)
        _dns_tls_logins(stack)
        here.setenv("REQUESTS_CA_BUNDLE", str(folder / ".secrets/tls/fullchain.pem"))
        yield stack


def _first_start(stack: Cloud) -> None:
    files = re.findall(r"(?m)^COMPOSE_FILE=(.*)$", (ROOT / ".env.cloud").read_text())
    stack.edit(
        FEATURE_STORE_BUCKET=stack.tables,
        MLFLOW_ARTIFACTS=f"s3://{stack.models}",
        PUBLIC_HOST=NAME,
        COMPOSE_FILE=f"{files[0]}:tests/compose/aws/stack.yml",
        # By default the public table is fetched, and the first outcome is known after minutes.
        DATA_FILE=SAMPLE,
        SIMULATION_SECONDS="3",
        SIMULATION_OUTCOME_SHARE="1",
        SIMULATION_OUTCOME_SECONDS="3",
    )
    stack.aws.s3.create_bucket(Bucket=stack.models)
    assert " NO " not in stack.make("doctor", env="cloud")
    stack.make("setup-model-registry", env="cloud")
    stack.make("init_aws")
    stack.make("apply-model-train-flow")
    stack.make("train", TRAIN_TRIALS=str(TRIALS))
    stack.edit(RUN_ID=stack.champion())


def _dns_tls_logins(stack: Cloud) -> None:
    stack.script("user.sh", LOGIN[0], answer=LOGIN[1])
    (stack.project.folder / ".acme").mkdir()
    stack.script("certificate.sh", NAME)
    stack.edit(COMPOSE_PROFILES="tls")
    stack.make("setup-model-serve", env="cloud")
    stack.make("apply-prediction-reporting")


def test_all_services_are_healthy_and_serve_the_chosen_model(stack: Cloud) -> None:
    """Every service of the cloud is ready, and none that stands in for AWS is there."""
    there = stack.runtime.inspected()
    assert set(SERVICES) <= set(there)
    assert not {"localstack", "aws-keeper"} & set(there)
    status = stack.make("status")
    for service in SERVICES:
        assert stack.runtime.is_ready(service), service
        assert re.search(rf"(?m)^{service} .* yes$", status), status
    ready = requests.get(f"{WEB}/health/ready", timeout=10).json()
    assert ready["model_run_id"] == stack.champion()


def test_no_container_has_an_aws_key(stack: Cloud) -> None:
    """Containers find the machine's role; no key of this shell reaches them."""
    for service, container in stack.runtime.inspected().items():
        # A name without a value tells the engine that there is no such variable.
        names = {line.partition("=")[0] for line in container["Config"]["Env"] if "=" in line}
        assert {name for name in names if name.startswith("AWS_")} <= OF_AWS, service
    shown = json.dumps(stack.runtime.inspected())
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        assert OF_THIS_SHELL[name] not in shown


def test_http_and_stream_predictions_are_answered_and_stored(stack: Cloud) -> None:
    """The same customer gets the same answer over HTTPS and on the stream."""
    customer = stack.customers()[0]
    answer = requests.post(f"{WEB}/predict", json=customer, timeout=10)
    assert answer.status_code == 200, answer.text
    over_https = answer.json()
    assert over_https["model_run_id"] == stack.champion()
    (sent,) = put(stack.aws.kinesis, [json.dumps(customer).encode()])
    results = StreamTail(stack.aws.kinesis, "results")
    found: list[dict[str, Any]] = []

    def answered() -> bool:
        read = [json.loads(record["Data"]) for record in results.read()]
        found[:] = [
            each
            for each in read
            # Two shards may use the same sequence number.
            if (each["shard_id"], each["sequence_number"]) == (sent.shard_id, sent.sequence_number)
        ]
        return bool(found)

    wait_until(answered, "the record is answered", seconds=60)
    assert found[0]["model_run_id"] == stack.champion()
    assert found[0][stack.contract.answer] == over_https[stack.contract.answer]
    kept = stack.predictions
    for each in (over_https, found[0]):
        wait_until(
            partial(kept.find_one, {"_id": each["prediction_id"]}),
            "both predictions are kept",
            seconds=60,
        )


def test_feedback_needs_its_token(stack: Cloud) -> None:
    """Outcomes are refused without the token, and stored with it."""
    answer = requests.post(f"{WEB}/predict", json=stack.customers()[0], timeout=10).json()
    outcome = {"prediction_id": answer["prediction_id"], stack.contract.target.name: True}
    for headers in ({}, {"Authorization": "Bearer a-guess"}):
        refused = requests.post(f"{WEB}/feedback", json=outcome, headers=headers, timeout=10)
        assert refused.status_code == 401
        assert "send the token" in refused.json()["detail"]
    token = (stack.project.folder / ".secrets/feedback_token").read_text().strip()
    known = {"Authorization": f"Bearer {token}"}
    accepted = requests.post(f"{WEB}/feedback", json=outcome, headers=known, timeout=10)
    assert accepted.status_code == 202, accepted.text
    kept = stack.predictions
    wait_until(
        lambda: kept.find_one({"_id": answer["prediction_id"], "target": 1}),
        "the outcome is kept",
        seconds=60,
    )


@pytest.mark.parametrize("source", ["api", "kinesis"])
def test_outcomes_of_the_simulators_arrive(stack: Cloud, source: str) -> None:
    """Both simulators report what became of their customers."""
    kept = stack.predictions
    wait_until(
        lambda: kept.count_documents({"source": source, "target_at": {"$exists": True}}) > 1,
        "outcomes are kept",
        seconds=90,
    )


def test_metrics_are_not_served_through_the_proxy(stack: Cloud) -> None:
    """The server's metrics are for this machine alone."""
    assert requests.get(f"{WEB}/metrics", timeout=10).status_code == 404
    assert requests.get(f"{stack.api}/metrics", timeout=10).status_code == 200


def test_http_redirects_except_for_the_certificate_proof(
    stack: Cloud,
) -> None:
    """HTTP leads to HTTPS, but the certificate authority gets its proof."""
    moved = requests.get(f"http://{NAME}/docs", timeout=10, allow_redirects=False)
    assert (moved.status_code, moved.headers["Location"]) == (301, f"{WEB}/docs")
    challenge = stack.project.folder / ".acme/.well-known/acme-challenge"
    challenge.mkdir(parents=True)
    (challenge / "token").write_text("proof")
    proof = requests.get(f"http://{NAME}/.well-known/acme-challenge/token", timeout=10)
    assert (proof.status_code, proof.text) == (200, "proof")


def test_new_certificate_is_used_at_once(stack: Cloud) -> None:
    """The proxy shows a renewed certificate without a restart."""
    address = f"{WEB}/health/live"
    trusted = stack.project.folder / ".secrets/tls/fullchain.pem"
    old = shutil.copyfile(trusted, stack.project.folder / "old.pem")
    stack.script("certificate.sh", NAME)

    def shown() -> bool:
        try:
            # Several times: for a moment the old processes take connections too.
            return all(requests.get(address, timeout=10).ok for _ in range(20))
        except requests.exceptions.SSLError:
            return False

    wait_until(shown, "the new certificate is shown")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(address, timeout=10, verify=str(old))


@pytest.mark.parametrize(
    ("service", "path"),
    [("mlflow", "/"), ("prefect", "/"), ("prefect", "/api/health"), ("reports", "/")],
)
@pytest.mark.usefixtures("stack")
def test_pages_without_a_login_get_one(service: str, path: str) -> None:
    """The proxy asks for a login in front of MLflow, Prefect and the reports."""
    address = f"https://{service}.{NAME}{path}"
    assert requests.get(address, timeout=10).status_code == 401
    assert requests.get(address, auth=(LOGIN[0], "wrong"), timeout=10).status_code == 401
    assert requests.get(address, auth=LOGIN, timeout=10).status_code == 200


def test_mlflow_is_used_through_the_proxy(stack: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """By MLflow's own client; for an artifact it is sent on to the bucket."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", LOGIN[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", LOGIN[1])
    client = MlflowClient(f"https://mlflow.{NAME}")
    version = client.get_model_version_by_alias("credit_card_churn", "champion")
    assert version.run_id == stack.champion()
    parent = client.get_run(str(version.run_id)).data.tags["mlflow.parentRunId"]
    rows = client.download_artifacts(parent, "reference/training_rows.csv")
    assert len(Path(rows).read_text().splitlines()) > 1000


def test_proxy_answers_for_a_missing_service(stack: Cloud) -> None:
    """Grafana is left out where its image cannot be had; the proxy starts without it."""
    address = f"https://grafana.{NAME}/api/health"
    if container := stack.runtime.inspected().get("grafana"):
        assert requests.get(address, timeout=20).status_code == 200
        docker("stop", container["Id"])
    assert requests.get(address, timeout=20).status_code in GONE


def test_security_counts_are_0_until_something_is_wrong(stack: Cloud) -> None:
    """A key that others can read is counted and named."""
    said = stack.make("security", env="cloud")
    assert re.search(r"(?m)^ +0 ports outside loopback$", said), said
    assert re.search(r"(?m)^ +0 secrets that others can read$", said), said
    key = stack.project.folder / ".secrets/tls/privkey.pem"
    key.chmod(0o640)
    done = stack.project.make("security", env="cloud")
    key.chmod(0o600)
    assert done.returncode != 0
    assert "tls/privkey.pem: 640" in done.stdout


def test_deploys_under_load_lose_no_request_at_the_proxy(stack: Cloud) -> None:
    """Every request is answered while models change, and a rollback goes back."""
    with Load(f"{WEB}/predict", stack.customers()[0], RATE) as load:
        other = check_deploys_by_turns(stack, load, DEPLOYS)
        stack.make("rollback")
        load.wait_for_requests_after(time.monotonic() + 0.3)
    assert len(load.sent) > 5 * RATE
    assert load.failed == []
    assert stack.served_run() == other
    stack.make("deploy", RUN_ID=stack.champion())


def test_report_is_read_with_a_login(stack: Cloud) -> None:
    """A report can be made, and is read through the proxy."""
    said = stack.make("report")
    (page,) = re.findall(r"(?m)^report +(\S+\.html)$", said)
    assert page.startswith(f"https://reports.{NAME}/")
    read = requests.get(page, auth=LOGIN, timeout=10)
    assert read.status_code == 200
    assert "Drift" in read.text


def test_killed_or_restarted_proxy_comes_back(stack: Cloud) -> None:
    """Predictions go on after the proxy was killed or restarted."""
    customer = stack.customers()[0]

    def answers() -> bool:
        try:
            return requests.post(f"{WEB}/predict", json=customer, timeout=10).ok
        except requests.ConnectionError:
            return False

    stack.runtime.kill("proxy")
    wait_until(answers, "predictions go on after a kill", seconds=60)
    docker("restart", stack.runtime.inspected()["proxy"]["Id"])
    wait_until(answers, "predictions go on after a restart", seconds=60)
    wait_until(lambda: stack.runtime.is_ready("proxy"), "the proxy is ready", seconds=60)


def test_restarted_servers_serve_the_same_model(stack: Cloud) -> None:
    """After stop-serve and start-serve the same run is served."""
    served = stack.served_run()
    stack.make("stop-serve")
    assert requests.get(f"{WEB}/health/live", timeout=20).status_code in GONE
    stack.make("start-serve")

    def serves() -> bool:
        answer = requests.get(f"{WEB}/health/ready", timeout=20)
        return answer.ok and answer.json()["model_run_id"] == served

    wait_until(serves, "the same model is served")


def test_deleted_run_leaves_the_bucket(stack: Cloud) -> None:
    """Pruning removes a deleted run's artifacts, and no others."""
    served, deployed = stack.served_run(), stack.make("deployments")
    deleted = next(run for run in stack.trials() if run.info.run_id not in deployed)
    run_id = str(deleted.info.run_id)
    (model,) = deleted.outputs.model_outputs
    before = stack.aws.objects(stack.models)
    of_it = {key for key in before if {run_id, model.model_id} & set(key.split("/"))}
    assert of_it
    stack.client.delete_run(run_id)
    said = stack.make("prune", KEEP_DELETED_DAYS="0")
    assert re.search(r"MLflow: trash, with its artifacts +[1-9]\d* removed", said), said
    after = stack.aws.objects(stack.models)
    assert not of_it & after
    assert before - of_it <= after
    assert stack.served_run() == served


def test_backup_leaves_out_the_bucket(stack: Cloud) -> None:
    """A backup holds MLflow's database; artifacts stay in the bucket."""
    said = stack.make("backup", env="cloud")
    assert f"artifacts in s3://{stack.models}" in said
    (backup,) = (stack.project.folder / "backups").iterdir()
    with tarfile.open(backup) as archive:
        names = set(archive.getnames())
    assert "mlflow/mlflow.db" in names
    assert not [name for name in names if name.startswith("mlflow/artifacts")]


def test_aws_calls_use_the_role_within_the_policy(
    stack: Cloud,
) -> None:
    """Every call was signed by the role's keys, and is one that the policy grants."""
    asked = stack.aws.asked()
    assert len({each.key for each in asked}) == 1
    assert asked[0].key.startswith(ROLE_KEY)
    by_service: dict[str, set[tuple[str, str]]] = {}
    for each in asked:
        by_service.setdefault(each.service, set()).add((each.action, each.bucket))
    assert by_service.keys() == {
        *("aws-keeper", "agent", "mlflow_server", "model-server-streams", "send_data-kinesis")
    }
    assert {bucket for _, bucket in by_service["agent"]} == {stack.tables}
    assert {bucket for _, bucket in by_service["mlflow_server"]} == {stack.models}
    policy = (ROOT / "cloud/aws-policy.json").read_text()
    policy = policy.replace("FEATURE_STORE_BUCKET", stack.tables)
    policy = policy.replace("MLFLOW_BUCKET", stack.models)
    granted = {
        (action, bucket)
        for statement in json.loads(policy)["Statement"]
        for resource in statement["Resource"]
        for action in statement["Action"]
        for bucket in [resource.removeprefix("arn:aws:s3:::") if "s3:" in resource else ""]
    }
    assert set().union(*by_service.values()) <= granted


def test_reset_leaves_aws_alone(stack: Cloud) -> None:
    """Nothing is left on the engine, and everything in AWS."""
    before = stack.aws.objects(stack.models), stack.aws.objects(stack.tables)
    assert all(before)
    said = stack.make("reset_all", env="cloud")
    assert stack.runtime.left() == []
    assert (stack.aws.objects(stack.models), stack.aws.objects(stack.tables)) == before
    assert f"these stay in AWS until you delete them: s3://{stack.tables}, " in said
