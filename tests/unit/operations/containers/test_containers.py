"""Compose files, secrets, jobs and the command line of the containers' environments."""

import json
import os
import re
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import yaml

from mlstack import environments
from mlstack.s3_address import S3Address
from mlstack.settings import ROOT, Settings
from operations.containers import credentials, engine, job
from operations.containers.services import CLUSTER, GROUPS, address, select_services
from operations.containers.stack import list_aws_resources
from operations.errors import StackError
from tests.support.compose_files import read_services

REGISTRY, SERVE = "docker-compose-model-registry.yml", "docker-compose-serve.yml"
FILES = ("mongo_password", "feedback_token")
PUBLIC = ("mongo", "localstack", "prometheus", "alertmanager", "grafana", "nginx")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(credentials, "FOLDER", tmp_path / ".secrets")
    return tmp_path / ".secrets"


def test_secrets_are_drawn_once_for_owner_only(folder: Path) -> None:
    assert credentials.ensure({}) == list(credentials.NAMES)
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert len(set(first.values())) == len(credentials.NAMES)
    assert credentials.ensure({}) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == first
    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.stat().st_uid == credentials.container_uid()


def test_empty_secret_is_drawn_again(folder: Path) -> None:
    """A draw that was killed half-way must not leave a service without a password."""
    folder.mkdir()
    (folder / "feedback_token").touch()
    credentials.ensure({})
    assert len((folder / "feedback_token").read_text()) > 20
    assert {path.name for path in folder.iterdir()} == set(credentials.NAMES)


def test_killed_draw_leaves_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(_: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            credentials.ensure({})
    assert not list(folder.iterdir())
    assert credentials.ensure({}) == list(credentials.NAMES)


def test_lost_secret_of_a_volume_is_not_drawn_again(folder: Path) -> None:
    """MongoDB and Grafana would go on with the one that their volume was created with."""
    credentials.ensure({})
    volumes = {"mongo": "mlstack_mongo", "grafana": "mlstack_grafana", "state": "mlstack_state"}
    assert credentials.ensure(volumes) == []
    for name, service in credentials.REMEMBERED_BY.items():
        (folder / name).write_text("")
        with pytest.raises(StackError) as refused:
            credentials.ensure(volumes)
        for part in (str(folder / name), f"mlstack_{service} ", "restore", "docker volume rm"):
            assert part in str(refused.value)
        assert (folder / name).read_text() == ""
        assert credentials.ensure({key: volumes[key] for key in volumes if key != service})


def test_lost_secret_of_no_volume_is_drawn_again(folder: Path) -> None:
    """MongoDB's account gets the new password at the next start, and so do the containers."""
    credentials.ensure({})
    (folder / "mongo_password").unlink()
    before = credentials.for_compose()["MLSTACK_SECRETS"]
    assert credentials.ensure({"mongo": "mlstack_mongo"}) == ["mongo_password"]
    assert credentials.for_compose()["MLSTACK_SECRETS"] != before
    for name, service in read_services(REGISTRY, SERVE).items():
        # That of mongo-account runs anew with every start.
        if {*FILES} & {*map(str, service.get("secrets", ()))} and name != "mongo-account":
            assert service["labels"]["mlstack.secrets"] == "${MLSTACK_SECRETS:-}", name


def test_edited_secret_that_is_no_text_is_named(folder: Path) -> None:
    credentials.ensure({})
    (folder / "grafana_admin_password").write_bytes(b"\xff\xfe")
    with pytest.raises(StackError, match="grafana_admin_password is not a text file: restore it"):
        credentials.for_compose()


def test_newline_of_an_editor_does_not_change_a_secret(folder: Path) -> None:
    credentials.ensure({})
    before = credentials.for_compose()
    for name in credentials.NAMES:
        (folder / name).write_text(f"{(folder / name).read_text()}\n")
    assert credentials.for_compose() == before


def test_drawn_certificates_replace_containers(folder: Path) -> None:
    """A container keeps the files that it was started with."""
    credentials.ensure({})
    before = credentials.for_compose()
    assert credentials.ensure_dask()
    assert credentials.for_compose()["MLSTACK_DASK"] != before["MLSTACK_DASK"]
    for name in CLUSTER:
        assert read_services(REGISTRY)[name]["labels"]["mlstack.dask"] == "${MLSTACK_DASK:-}"
    assert (folder / "dask/worker.pem").stat().st_uid == credentials.container_uid()


def test_job_puts_no_value_on_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody on the machine can read command lines."""
    uri = "mongodb://ana:secret@db.example"
    monkeypatch.setattr(os, "environ", {**os.environ, "MONGO_URI": uri})
    begun: list[tuple[list[str], dict[str, str]]] = []

    def become(_: str, line: list[str], environment: dict[str, str]) -> None:
        begun.append((line, environment))

    monkeypatch.setattr(engine, "require_engine", lambda: None)
    monkeypatch.setattr(job, "Project", MagicMock())
    monkeypatch.setattr(os, "execvpe", become)
    job.become("local", environments.load("local"), "server.deploy", ["current"])
    (line, environment), *_ = begun
    assert "secret" not in " ".join(line)
    assert line[line.index("MONGO_URI") - 1] == "--env"
    assert environment["MONGO_URI"] == uri
    assert line[line.index("LOGNAME") - 1] == "--env"
    assert environment["LOGNAME"]


def test_containers_of_any_name_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their labels say what they are, not their names."""
    lines = [
        json.dumps(
            {
                "Service": "model-server-api",
                "Name": name,
                "Labels": f"com.docker.compose.container-number={number},mlstack.clone=a",
                "State": "running",
                "Health": "",
                "ExitCode": 0,
                "ID": name,
                "RunningFor": "",
            }
        )
        for name, number in (("thirsty_fermi", 10), ("mlstack-model-server-api-2", 2))
    ]
    monkeypatch.setattr(engine.Compose, "read", lambda *_: "\n".join(lines))
    (found,) = engine.Compose().containers().values()
    assert [each.number for each in found] == [2, 10]


def test_jobs_of_makefile_have_service_with_code() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    modules = set(re.findall(r"(?:\$\(JOB\)|CHOOSE :=) ([a-z_.]+)", makefile))
    assert {"operations.aws.init_aws", "server.deploy"} <= modules
    services = read_services(REGISTRY, SERVE)
    for module in modules:
        service = services[job.service_of(module)]
        dockerfile = (ROOT / service["build"]["dockerfile"]).read_text(encoding="utf-8")
        assert f"COPY {module.partition('.')[0]} " in dockerfile, module
    with pytest.raises(StackError, match="no service's image contains this module"):
        job.service_of("monitoring.evidently_service.app")


def test_containers_never_run_as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert credentials.container_uid() == 10001
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert credentials.container_uid() == 1000


def test_secrets_of_another_user_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.ensure({})
    assert folder.exists()
    monkeypatch.setattr(credentials, "container_uid", lambda: 4321)
    with pytest.raises(StackError, match="as the user who set this up"):
        credentials.ensure({})


def test_select_services_keeps_those_of_environment() -> None:
    services = read_services(REGISTRY, SERVE)
    for name in ("localstack", "dask-scheduler", "dask-worker"):  # as with env=cloud
        del services[name]
    assert select_services(["model-registry", "mongo"], services) == [
        *("mlflow_server", "prefect_server", "agent", "aws-keeper", "mongo")
    ]
    with pytest.raises(StackError, match="no such group or service: mango"):
        select_services(["mango"], services)


def test_address_can_be_opened() -> None:
    everywhere = {"ports": [{"host_ip": "0.0.0.0", "published": "9696"}]}
    here = {"ports": [{"host_ip": "127.0.0.1", "published": "27018"}]}
    assert address("model-server-api", everywhere, "ml.example.org") == "http://ml.example.org:9696"
    assert address("mongo", here, "ml.example.org") == "mongodb://127.0.0.1:27018"
    assert address("agent", {}, "ml.example.org") == ""
    assert address("proxy", everywhere, "ml.example.org") == "https://ml.example.org"


@pytest.mark.parametrize("file", [REGISTRY, SERVE])
def test_services_restart_and_are_limited(file: str) -> None:
    for name, service in read_services(file).items():
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name
        if name == "mongo-account":
            continue  # it runs once
        assert service["restart"] == "unless-stopped", name
        assert service["healthcheck"]["test"], name
        assert service["stop_grace_period"], name


@pytest.mark.parametrize("file", [REGISTRY, SERVE])
def test_our_services_have_no_privileges(file: str) -> None:
    for name, service in read_services(file).items():
        if name in PUBLIC:
            # A version, not whatever is the latest one.
            assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", service["image"].rpartition(":")[2]), name
            continue
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name


@pytest.mark.parametrize("file", [REGISTRY, SERVE])
def test_ports_are_on_loopback_by_default(file: str) -> None:
    for name, service in read_services(file).items():
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${BIND_ADDRESS:-127.0.0.1}:")), name
    assert read_services(REGISTRY)["localstack"]["ports"][0].startswith("127.0.0.1:")
    assert read_services(SERVE)["mongo"]["ports"][0].startswith("127.0.0.1:")


def test_container_environments_hold_no_secret() -> None:
    for name, service in read_services(REGISTRY, SERVE).items():
        for variable, value in service.get("environment", {}).items():
            if variable.endswith(("PASSWORD", "TOKEN", "PASSWORD_FILE", "TOKEN_FILE", "__FILE")):
                assert str(value).startswith("/run/secrets/"), f"{name}: {variable}"


def test_every_service_has_a_group() -> None:
    grouped = {name for names in GROUPS.values() for name in names}
    assert set(read_services(REGISTRY, SERVE)) - grouped == {"mongo", "mongo-account"}


@pytest.mark.parametrize(
    ("file", "service", "setting"),
    [
        ("docker-compose-servers.yml", "model-server-api", "API_SERVERS"),
        ("docker-compose-stream-servers.yml", "model-server-streams", "STREAM_SERVERS"),
    ],
)
def test_several_servers_publish_no_port(file: str, service: str, setting: str) -> None:
    """A published port belongs to one container."""
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "ports: !reset []" in text
    found = yaml.safe_load(text.replace("!reset", ""))["services"][service]
    assert found["ports"] == []
    assert found["scale"].startswith(f"${{{setting}:-")


def test_cloud_has_no_emulator_and_no_keys() -> None:
    text = (ROOT / ".env.cloud").read_text(encoding="utf-8")
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert f"\n{name}=" not in text
    left_out = read_services("docker-compose-cloud.yml")
    assert {name for name, service in left_out.items() if service["profiles"] == ["emulator"]} == {
        *("localstack", "aws-keeper")
    }


@pytest.mark.parametrize("environment", ["embedded", "local", "cloud"])
def test_environment_files_hold_no_secret(environment: str) -> None:
    text = (ROOT / f".env.{environment}").read_text(encoding="utf-8")
    assert "PASSWORD=" not in text
    assert "TOKEN=" not in text


def test_list_aws_resources_names_only_chosen_ones() -> None:
    streams = ["stream predictions", "stream results", "stream predictions-dead-letter"]
    assert list_aws_resources(Settings(), "") == streams
    chosen = Settings(feature_store_bucket="tables", deployment_record=S3Address("one", "record"))
    assert list_aws_resources(chosen, "s3://models") == [
        *("s3://tables", "s3://one/record", "s3://models"),
        *streams,
    ]
    assert list_aws_resources(Settings(feature_store_bucket="tables"), "/mlflow/artifacts") == [
        "s3://tables",
        *streams,
    ]
