"""The whole stack in containers: set up, used, damaged and removed.

The tests of this file share one stack and follow each other.
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import mlflow.artifacts
import pytest
import requests
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from mlstack.contract.drifts import load_drift
from mlstack.model.model_files import MODEL_FILE
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import ROOT
from tests.support.containers import Containers, containers_copy, docker, kill_container
from tests.support.drift_table import steps
from tests.support.embedded import split_table
from tests.support.front_page import read_front_page, states
from tests.support.inbox import Hooks, Inbox, hooks, inbox
from tests.support.load import Load
from tests.support.project_copy import project_copy
from tests.support.readme import SAVE, SET_UP, USE, run_command
from tests.support.stack import Stack
from tests.support.stack_behaviour import (
    Kept,
    StackBehaviour,
    check_backup_comes_back,
    check_deploys_by_turns,
    check_killed_service_comes_back,
)
from tests.support.waiting import wait_until

TRIALS = 10
DEPLOYS = 6
RATE = 50
SERVERS_DEPLOYS = int(os.environ.get("SERVERS_DEPLOYS", "2"))
PUBLIC = {"mongo", "localstack", "prometheus", "alertmanager", "grafana", "nginx"}
AS_ROOT = {
    "mongo": "its entry point takes over the volume, then becomes the user mongodb",
    "localstack": "an emulator for this machine alone, made to run so",
}
SERVICES = (
    *("mlflow_server", "prefect_server", "agent", "localstack", "aws-keeper"),
    *("mongo", "evidently_service", "prometheus", "alertmanager", "nginx"),
    *("send_data-api", "send_data-kinesis", "model-server-streams", "model-server-api"),
    "log-keeper",
)
# One of ours, and one whose image is public. Every service is killed in tests/rest/test_readme.py.
KILLED = ("model-server-api", "log-keeper", "mongo")
_ANOTHER = "0" * 31 + "1"


class Local(Stack):
    """A stack in containers."""

    environment = "local"
    runtime: Containers
    inbox: Inbox
    hooks: Hooks
    kept: Kept | None = None

    @property
    def secrets(self) -> Path:
        return self.project.folder / ".secrets"

    def mongo(self, user: str = "", password: str = "") -> "MongoClient[dict[str, Any]]":
        port = self.project.port("MONGO_PORT")
        login = f"{user}:{password}@" if user else ""
        return MongoClient(f"mongodb://{login}127.0.0.1:{port}", timeoutMS=5000)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Brought up as the README says, from nothing but images that may be there already."""
    folder = tmp_path_factory.mktemp("compose")
    table, held_out = split_table(folder)
    # Readable by its owner alone: it is sent to where it is needed, not mounted.
    table.chmod(0o600)
    (folder / "project").mkdir()
    # An address of this machine that containers reach. Docker does not always name it.
    network = json.loads(docker("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    host = network.get("Gateway") or str(ip_network(network["Subnet"])[1])
    with (
        inbox(host) as served,
        hooks(host) as received,
        containers_copy(folder / "project") as (project, containers),
    ):
        project.variables |= {
            "DATA_FILE": str(table),
            "ALERT_MAIL_TO": "ops@example.org",
            "ALERT_SMTP_SERVER": f"{host}:{served.port}",
            "ALERT_SMTP_STARTTLS": "false",
        }
        stack = Local(project, containers, held_out)
        stack.inbox, stack.hooks = served, received
        stack.secrets.mkdir(mode=0o700)
        for name in ("slack", "webhook"):
            (stack.secrets / f"alert_{name}_url").write_text(f"{received.url}/{name}")
        for command in SET_UP:
            run_id = stack.champion() if "RUN_ID" in command else ""
            run_command(stack, command, run_id, trials=TRIALS)
        yield stack


def test_all_services_are_healthy_and_serve_the_chosen_model(stack: Local) -> None:
    """Every service is ready, and the run that was chosen is served."""
    assert stack.served_run() == stack.champion()
    assert set(SERVICES) <= set(stack.runtime.inspected())
    for service in SERVICES:
        assert stack.runtime.is_ready(service), service
    status = stack.make("status")
    for service in SERVICES:
        assert re.search(rf"(?m)^{service} .* yes$", status), status


def test_front_page_shows_every_service_ready(stack: Local) -> None:
    """It sees containers by their names, and links to where people find them."""
    address = f"http://127.0.0.1:{stack.project.port('EVIDENTLY_PORT')}"
    ready = dict.fromkeys(SERVICES, "ready")
    wait_until(
        lambda: states(read_front_page(address)).items() >= ready.items(), "all are ready", 60
    )
    page = read_front_page(address)
    assert stack.champion() in page
    for port in ("API_PORT", "REPORTS_PORT", "PROMETHEUS_PORT"):
        assert f'href="http://127.0.0.1:{stack.project.port(port)}"' in page
    assert f'href="{stack.mlflow}/#/experiments/' in page


class TestBehaviour(StackBehaviour):
    """What every environment's stack does."""

    trials = TRIALS


def test_http_and_stream_predictions_are_stored(stack: Local) -> None:
    """MongoDB has predictions of both simulators, and wants a login."""
    password = (stack.secrets / "mongo_password").read_text()
    with stack.mongo("mlstack", password) as client:
        kept = client[DATABASE]["data"]
        for source in ("api", "kinesis"):
            wait_until(
                partial(kept.find_one, {"source": source}),
                f"a prediction from {source} is kept",
                seconds=60,
            )


def test_predictions_are_monitored_and_reported(stack: Local) -> None:
    """Monitoring, Prometheus and the report know what was predicted."""
    monitor = f"http://127.0.0.1:{stack.project.port('EVIDENTLY_PORT')}/metrics"
    drift = "evidently:data_drift:share_drifted_features"
    stack.chances()  # enough of them for a verdict
    wait_until(lambda: drift in requests.get(monitor, timeout=10).text, "drift is told", seconds=90)
    prometheus = f"http://127.0.0.1:{stack.project.port('PROMETHEUS_PORT')}/api/v1/query"
    wait_until(
        lambda: requests.get(prometheus, {"query": drift}, timeout=10).json()["data"]["result"],
        "Prometheus has it",
    )
    up = requests.get(prometheus, {"query": "up"}, timeout=10).json()["data"]["result"]
    assert {each["metric"]["job"]: each["value"][1] for each in up} == dict.fromkeys(
        (
            *("evidently_service", "log-keeper", "prometheus", "alertmanager"),
            *("model-server-api", "model-server-streams"),
        ),
        "1",
    )
    browser = f"http://127.0.0.1:{stack.project.port('REPORTS_PORT')}"
    assert requests.get(browser, timeout=10).status_code == 200
    stack.make("apply-prediction-reporting")
    run_command(stack, "make report")
    (page,) = re.findall(
        r'href="([0-9T]+Z-[a-z0-9_]+\.html)"', requests.get(browser, timeout=10).text
    )
    assert "Drift" in requests.get(f"{browser}/{page}", timeout=10).text


def test_drift_is_seen_alarmed_about_and_reported(stack: Local) -> None:
    """Each step of `make demo-drift` comes in order, and its report names the drift."""
    shown = stack.make("demo-drift", env="local", DRIFT="limits_are_cut")
    lines = steps(shown)
    assert [title for title, _, _ in lines] == [
        "the first one is answered",
        "stored in MongoDB",
        "drift in the gauges of /metrics",
        "alert DataDrifted fires",
        "a message in an inbox",
        "all of them are answered",
        "a report is created",
    ]
    after = [seconds for _, seconds, _ in lines]
    assert after == sorted(after)
    seen = {title: what for title, _, what in lines}
    drifts = ROOT / f"contracts/{stack.contract.name}.drifts.yaml"
    drift = load_drift(stack.contract, drifts, "limits_are_cut")
    # Which of them is seen first depends on how far the window was filled when it was looked at.
    assert set(drift.features) & set(seen["drift in the gauges of /metrics"].split(", "))
    (report,) = re.findall(r"drift: (http://\S+\.html)", seen["a report is created"])
    page = requests.get(report, timeout=10)
    assert page.ok
    assert "Drift" in page.text


def test_drift_reached_people(stack: Local) -> None:
    """The message has the alert's texts and the page; a test alert takes the same ways."""
    wait_until(
        lambda: any("CRITICAL: Customers of" in text for text in stack.inbox.texts()),
        "the drift is in the inbox",
    )
    text = next(text for text in stack.inbox.texts() if "CRITICAL: Customers of" in text)
    port = stack.project.port("EVIDENTLY_PORT")
    for part in ("What it means: ", "What to do: ", f"See it: http://127.0.0.1:{port}/monitoring"):
        assert part in text
    said = stack.make("alert-test")
    for way in ("email", "slack", "webhook"):
        assert f"  {way:<8} delivered after " in said
    for path in ("/slack", "/webhook"):
        assert "This is a test of the way" in json.dumps(stack.hooks.posted[path])


def test_deleted_run_is_pruned_and_the_served_one_stays(stack: Local) -> None:
    """`make prune` empties MLflow's trash, and touches nothing that is served."""
    served = stack.served_run()
    assert served
    deleted = next(
        str(run.info.run_id)
        for run in stack.trials()
        if run.info.run_id not in (served, stack.champion())
    )
    stack.client.delete_run(deleted)
    assert stack.client.get_run(deleted).info.lifecycle_stage == "deleted"
    said = stack.make("prune", KEEP_DELETED_DAYS="0")
    assert re.search(r"MLflow: trash, with its artifacts +2 removed", said), said
    with pytest.raises(MlflowException, match=f"Run with id={deleted} not found"):
        stack.client.get_run(deleted)
    assert stack.client.get_run(served).info.lifecycle_stage == "active"
    assert stack.served_run() == served


def test_doctor_finds_nothing_in_the_way(stack: Local) -> None:
    """`make doctor` passes while the stack runs."""
    assert " NO " not in stack.make("doctor")


def test_security_counts_are_all_0(stack: Local) -> None:
    """No open port, root, capability or default password."""
    said = stack.make("security")
    for what in (
        "ports outside loopback",
        "project containers that run as root",
        "added capabilities",
        "default passwords that work",
    ):
        assert re.search(rf"(?m)^ +0 {what}$", said), said


def test_security_counts_name_what_is_wrong(stack: Local) -> None:
    """An intruder's container and a default password are counted and named."""
    root = (stack.secrets / "mongo_root_password").read_text().strip()
    # The labels that compose gives its containers.
    labels = {
        "project": stack.runtime.name,
        "service": "intruder",
        "config-hash": "x",
        "oneoff": "False",
        "container-number": "1",
    }
    wrong = docker(
        *("run", "--detach", "--user", "0", "--cap-add", "NET_ADMIN", "--publish", "9696"),
        *(f"--label=com.docker.compose.{name}={value}" for name, value in labels.items()),
        *("--entrypoint", "sleep", "mlstack/model-server-api", "600"),
    ).strip()
    try:
        with stack.mongo("root", root) as client:
            user = {"createUser": "admin", "pwd": "changeme", "roles": ["root"]}
            client.admin.command(user)
            try:
                done = stack.project.make("security")
            finally:
                client.admin.command("dropUser", "admin")
    finally:
        docker("rm", "--force", wrong)
    assert done.returncode != 0
    for line in (
        r"1 project containers that run as root\n +intruder$",
        r"1 added capabilities\n +intruder: (CAP_)?NET_ADMIN$",
        r"1 default passwords that work\n +mongo: admin with changeme$",
        r"[12] ports outside loopback\n +intruder: (0\.0\.0\.0|::) port \d+$",
    ):
        assert re.search(rf"(?m)^ +{line}", done.stdout), done.stdout


def test_second_clone_is_told_whose_stack_it_is(stack: Local, tmp_path: Path) -> None:
    """It can neither stop nor delete what the first one has started."""
    before, whose = sorted(stack.runtime.left()), f"belong to the clone in {stack.project.folder}"
    with project_copy(tmp_path / "second") as second:
        second.variables |= stack.project.variables
        for target in ("reset_all", "stop-serve", "deployed", "adopt"):
            refused = second.make(target, env="local")
            assert refused.returncode != 0
            assert whose in refused.stdout
        assert whose in second.make("status", env="local").stdout
    assert sorted(stack.runtime.left()) == before


def test_password_of_another_volume_is_named(stack: Local) -> None:
    """Whether the file was edited or lost, it says what to do about which file and volume."""
    file = stack.secrets / "mongo_root_password"
    kept = file.read_text()
    try:
        file.write_text("edited")
        edited = stack.make("status")
        file.write_text("")
        lost = stack.project.make("start-serve")
    finally:
        file.write_text(kept)
    assert lost.returncode != 0
    for said in (edited, lost.stdout):
        assert str(file) in said
        assert f"docker volume rm {stack.runtime.name}_mongo" in said
    assert str(file) not in stack.make("status")


def test_deploy_without_mlflow_keeps_the_old_model(stack: Local) -> None:
    """A deploy is refused in a sentence while MLflow is down."""
    served = stack.served_run()
    container = stack.runtime.inspected()["mlflow_server"]["Id"]
    docker("stop", container)
    try:
        refused = stack.project.make("deploy", timeout=60, RUN_ID=_ANOTHER)
    finally:
        docker("start", container)
    assert refused.returncode != 0
    assert "MLflow cannot look up run" in refused.stdout
    assert stack.served_run() == served
    wait_until(lambda: stack.runtime.is_ready("mlflow_server"), "MLflow is back", seconds=120)


def test_deploys_under_load_lose_no_request(stack: Local) -> None:
    """Every request is answered while models change."""
    with Load(f"{stack.api}/predict", stack.customers()[0], RATE) as load:
        check_deploys_by_turns(stack, load, DEPLOYS)
    assert len(load.sent) > 10 * RATE
    assert load.failed == []


def test_broken_model_is_refused_and_the_old_one_stays(stack: Local) -> None:
    """A model that is not what was trained is never served, nor is an unknown run."""
    served = stack.served_run()
    run_id = _broken_model(stack)
    with Load(f"{stack.api}/predict", stack.customers()[0], RATE) as load:
        for wrong, said in (
            (run_id, "not the file that was trained"),
            ("0" * 32, "has no run"),
            ("x", "is not a run id"),
        ):
            refused = stack.project.make("deploy", RUN_ID=wrong)
            assert refused.returncode != 0
            assert said in refused.stdout
    assert load.failed == []
    assert {each.run_id for each in load.sent} == {served}
    assert f"{run_id}  " in stack.make("deployments")


def test_every_container_is_restarted_by_the_engine(stack: Local) -> None:
    """No service of the stack stays down when its process dies."""
    for service, container in stack.runtime.inspected().items():
        if service in SERVICES:
            policy = container["HostConfig"]["RestartPolicy"]["Name"]
            assert policy in ("always", "unless-stopped"), service


@pytest.mark.parametrize("service", KILLED)
def test_killed_container_comes_back(stack: Local, service: str) -> None:
    """The engine starts a killed container again, and the same model is served."""
    check_killed_service_comes_back(stack, service, seconds=120)


class TestNoMoreThanNeeded:
    """Ports, users, capabilities and secrets, as the engine has them."""

    def test_ports_are_bound_to_loopback(self, stack: Local) -> None:
        """No service listens beyond this machine."""
        for service, container in stack.runtime.inspected().items():
            for bindings in (container["NetworkSettings"]["Ports"] or {}).values():
                for binding in bindings or []:
                    assert binding["HostIp"] == "127.0.0.1", service

    def test_containers_of_ours_are_never_root(self, stack: Local) -> None:
        """No process of ours is root, has a capability or may gain one."""
        for service, container in stack.runtime.inspected().items():
            host = container["HostConfig"]
            assert not host["CapAdd"], service
            assert not host["Privileged"], service
            if container["State"]["Running"] and service not in AS_ROOT:
                rows = docker("top", container["Id"], "-eo", "pid,uid").splitlines()[1:]
                assert rows
                assert all(row.split()[1] != "0" for row in rows), (service, rows)
            if service not in PUBLIC:
                assert host["CapDrop"] == ["ALL"], service
                assert host["ReadonlyRootfs"], service
                assert host["SecurityOpt"] == ["no-new-privileges:true"], service

    def test_secrets_are_readable_by_their_owner_alone(self, stack: Local) -> None:
        """No secret shows in a container's environment or in compose's configuration."""
        files = list(stack.secrets.iterdir())
        assert files
        shown = json.dumps(stack.runtime.inspected()) + self._configuration(stack)
        for file in files:
            assert file.stat().st_mode & 0o777 == 0o600
            assert file.read_text() not in shown, file.name

    def test_mongodb_refuses_guessed_passwords(self, stack: Local) -> None:
        """Nobody reads predictions without the account's password."""
        guesses = [("root", "root"), ("root", "example"), ("admin", "admin"), ("mlstack", "x")]
        with stack.mongo() as client, pytest.raises(OperationFailure):
            client[DATABASE]["data"].find_one()
        for user, password in guesses:
            with stack.mongo(user, password) as client, pytest.raises(OperationFailure):
                client[DATABASE]["data"].find_one()

    def test_mlflow_refuses_an_unknown_host_name(self, stack: Local) -> None:
        """A request with another Host header gets 403."""
        address = f"{stack.mlflow}/api/2.0/mlflow/experiments/search"
        body = {"max_results": 1}
        assert requests.post(address, json=body, timeout=10).status_code == 200
        strange = {"Host": "evil.example"}
        assert requests.post(address, json=body, headers=strange, timeout=10).status_code == 403

    def test_cloud_gets_no_aws_variable_of_this_shell(self, stack: Local) -> None:
        """Keys and endpoints of this shell reach no container in the cloud."""
        with pytest.MonkeyPatch.context() as shell:
            shell.setenv("AWS_SECRET_ACCESS_KEY", "a key of mine")
            shell.setenv("AWS_ENDPOINT_URL", "http://elsewhere.example")
            shown = self._configuration(stack, "cloud")
        assert "a key of mine" not in shown
        assert "elsewhere.example" not in shown
        services = json.loads(shown)["services"]
        assert not {"localstack", "aws-keeper"} & set(services)
        assert services["agent"]["environment"]["AWS_DEFAULT_REGION"]

    def _configuration(self, stack: Local, environment: str = "local") -> str:
        code = (
            "from operations.containers.engine import Compose; "
            "print(Compose().read('config', '--format', 'json'))"
        )
        python = str(stack.project.folder / ".venv/bin/python")
        done = subprocess.run(
            [python, "-m", "mlstack.with_environment", environment, "-c", code],
            cwd=stack.project.folder,
            env={**os.environ, **stack.project.variables},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


@pytest.mark.parametrize("door", ["api", "kinesis"])
def test_batch_is_sent_by_hand_from_the_simulator(stack: Local, door: str) -> None:
    """As the README says it: compose finds its files by itself."""
    done = subprocess.run(
        [
            *("docker", "compose", "exec", "-T", f"send_data-{door}"),
            *("python", "-m", f"simulation_business.send_data_{door}", "--once"),
        ],
        cwd=stack.project.folder,
        env={**os.environ, **stack.project.variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    ((sent, answered),) = re.findall(r"batch sent=(\d+) answered=(\d+) ", done.stdout)
    assert sent == answered != "0"


def test_several_http_servers_share_the_port(stack: Local) -> None:
    """One is killed, one is added, models are deployed: no request fails, and no two disagree."""
    stack.make("setup-model-serve", API_SERVERS="2")
    first, other = stack.champion(), stack.another_run()
    numbers = [1, 2]
    with Load(f"{stack.api}/predict", stack.customers()[0], RATE) as load:
        for number in range(SERVERS_DEPLOYS):
            if number == SERVERS_DEPLOYS // 2:
                kill_container(stack.runtime.instances("model-server-api")[0])
                stack.make("start-serve", API_SERVERS="3")
                numbers.append(3)
            run_id = first if number % 2 else other
            stack.make("deploy", RUN_ID=run_id)
            assert _served_by_each(stack) == dict.fromkeys(numbers, run_id)
    assert load.failed == []
    assert len(load.sent) > 10 * RATE
    assert re.search(r"(?m)^model-server-api 3 .* yes$", stack.make("status"))
    prometheus = f"http://127.0.0.1:{stack.project.port('PROMETHEUS_PORT')}/api/v1/query"
    up = {"query": 'up{job="model-server-api"} == 1'}
    wait_until(
        lambda: len(requests.get(prometheus, up, timeout=10).json()["data"]["result"]) == 3,
        "Prometheus has all of them",
    )


def _served_by_each(stack: Local) -> dict[int, str]:
    """Ask each HTTP server, by its number, for its run."""
    served = {}
    for container in stack.runtime.instances("model-server-api"):
        number = int(container["Config"]["Labels"]["com.docker.compose.container-number"])
        (network,) = container["NetworkSettings"]["Networks"].values()
        answer = requests.get(f"http://{network['IPAddress']}:9696/health/ready", timeout=5)
        served[number] = answer.json()["model_run_id"]
    return served


def test_readme_commands_work_with_env_local(stack: Local) -> None:
    """The second contract needs nothing of containers: tests/rest/test_readme.py has it."""
    for command in USE:
        run_command(stack, command)
    stack.kept = Kept.of(stack)
    for command in SAVE:
        run_command(stack, command)


def test_reset_leaves_nothing_behind(stack: Local) -> None:
    """And what was never this project's stays."""
    docker("volume", "create", f"{stack.runtime.name}-somebody-elses")
    try:
        stack.make("reset_all", env="local")
        assert stack.runtime.left() == []
        assert not (stack.project.folder / ".env").exists()
        assert docker("volume", "inspect", f"{stack.runtime.name}-somebody-elses")
    finally:
        docker("volume", "rm", f"{stack.runtime.name}-somebody-elses")


def test_backup_is_restored_into_a_new_stack(stack: Local) -> None:
    """What was saved serves the same answers in a stack of which nothing was left."""
    assert stack.kept is not None
    check_backup_comes_back(stack, stack.kept, "local")


def _broken_model(stack: Local) -> str:
    """Make a finished run whose model does not have its checksum."""
    client, good = stack.client, stack.champion()
    run = client.get_run(good)
    broken = client.create_run(run.info.experiment_id, run_name="broken")
    logged = client.create_logged_model(
        run.info.experiment_id, name="model", source_run_id=broken.info.run_id
    )
    client.log_outputs(broken.info.run_id, [LoggedModelOutput(logged.model_id, step=0)])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"runs:/{good}/model", dst_path=scratch, tracking_uri=stack.mlflow
            )
        )
        file = folder / MODEL_FILE
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content))
        client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.set_terminated(broken.info.run_id)
    return str(broken.info.run_id)
