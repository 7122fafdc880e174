"""Security figures, counted from recorded answers of the engine."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mlstack.settings import ROOT, Settings
from operations.containers import credentials, security
from operations.containers.inspection import Inspected
from operations.containers.security import Figure, figures, find_open_files, report

# Answers of `docker inspect` for the server, MongoDB and the AWS emulator, shortened.
RECORDED = ROOT / "tests/support/inspected.json"


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    recorded = json.loads(RECORDED.read_text())
    return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in recorded}


def found(
    documents: dict[str, dict[str, Any]],
    uids: tuple[int, ...] = (10001,),
    secrets: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, tuple[str, ...]]:
    """Figures that are not 0, by name."""
    containers = [Inspected(document, uids) for document in documents.values()]
    return {figure.what: figure.found for figure in figures(containers, secrets) if figure.found}


def test_recorded_stack_has_no_finding(documents: dict[str, dict[str, Any]]) -> None:
    assert found(documents, secrets={"token": "not in there"}) == {}


def test_recorded_containers_are_read(documents: dict[str, dict[str, Any]]) -> None:
    server, mongo = (Inspected(documents[name], {10001}) for name in ("model-server-api", "mongo"))
    assert (server.is_ours, server.is_root, mongo.is_ours, mongo.is_root) == (
        True,
        False,
        False,
        True,
    )
    assert server.ports == [("127.0.0.1", 9696)]
    assert mongo.image == "mongo"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])
def test_port_outside_loopback_is_found(documents: dict[str, dict[str, Any]], host: str) -> None:
    ports = documents["mongo"]["NetworkSettings"]["Ports"]
    ports["27017/tcp"] = [{"HostIp": host, "HostPort": "27018"}]
    ((what, lines),) = found(documents).items()
    assert what == "ports outside loopback"
    assert lines == (f"mongo: {host or 'every address'} port 27018",)


@pytest.mark.parametrize(("port", "count"), [("443", 0), ("9090", 1)])
def test_only_encrypted_ports_of_proxy_are_public(
    documents: dict[str, dict[str, Any]], port: str, count: int
) -> None:
    server = documents["model-server-api"]
    server["Config"]["Labels"]["com.docker.compose.service"] = "proxy"
    server["NetworkSettings"]["Ports"] = {"x/tcp": [{"HostIp": "192.0.2.1", "HostPort": port}]}
    assert len(found(documents).get("ports outside loopback", ())) == count


@pytest.mark.parametrize("user", ["", "0", "root", "0:0"])
def test_own_container_started_as_root_is_found(
    documents: dict[str, dict[str, Any]], user: str
) -> None:
    documents["model-server-api"]["Config"]["User"] = user
    assert found(documents) == {"project containers that run as root": ("model-server-api",)}


def test_own_container_with_root_process_is_found(documents: dict[str, dict[str, Any]]) -> None:
    assert found(documents, uids=(10001, 0)) == {
        "project containers that run as root": ("model-server-api",)
    }


def test_public_image_as_root_without_reason_is_found(
    documents: dict[str, dict[str, Any]],
) -> None:
    documents["mongo"]["Config"]["Image"] = "docker.example:5000/else/where:1@sha256:0"
    (lines,) = found(documents).values()
    assert lines == ("mongo: docker.example:5000/else/where",)


@pytest.mark.parametrize(
    ("key", "value", "what"),
    [
        ("CapAdd", ["NET_ADMIN"], "added capabilities"),
        ("Privileged", True, "added capabilities"),
        ("CapDrop", None, "project containers with capabilities"),
        ("CapDrop", ["CHOWN"], "project containers with capabilities"),
        ("SecurityOpt", None, "project containers that can gain privileges"),
        ("SecurityOpt", ["seccomp=unconfined"], "project containers that can gain privileges"),
        ("ReadonlyRootfs", False, "project containers with a writable root file system"),
        ("NetworkMode", "host", "host resources in containers"),
        ("PidMode", "host", "host resources in containers"),
    ],
)
def test_excess_privileges_are_found(
    documents: dict[str, dict[str, Any]], key: str, value: object, what: str
) -> None:
    documents["model-server-api"]["HostConfig"][key] = value
    ((counted, lines),) = found(documents).items()
    assert counted == what
    assert "model-server-api" in lines[0]


def test_engine_socket_in_container_is_found(documents: dict[str, dict[str, Any]]) -> None:
    documents["localstack"]["Mounts"].append({"Source": "/var/run/docker.sock"})
    assert list(found(documents)) == ["host resources in containers"]


def test_secret_in_environment_is_named_not_shown(
    documents: dict[str, dict[str, Any]],
) -> None:
    documents["mongo"]["Config"]["Env"].append("URI=mongodb://root:s3cret@mongo")
    assert found(documents, secrets={"mongo_root_password": "s3cret"}) == {
        "secrets in environment variables": ("mongo: URI has mongo_root_password",)
    }


def test_edited_secrets_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password may have any letters, and an empty file has none to look for."""
    monkeypatch.setattr(credentials, "FOLDER", tmp_path)
    (tmp_path / "mongo_password").write_text("straße\n", encoding="utf-8")
    (tmp_path / "feedback_token").touch()
    assert security._secrets(Settings()) == {"mongo_password": "straße"}


def test_open_secret_files_are_found(tmp_path: Path) -> None:
    for name, mode in (("fine", 0o600), ("open", 0o644), ("tls/key", 0o640), ("tls/fine", 0o400)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert find_open_files(tmp_path) == ("open: 644", "tls/key: 640")
    assert find_open_files(tmp_path / "none") == ()


def test_report_fails_on_one_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Figure("holes", ())])
    assert not report([Figure("holes", ()), Figure("doors", ("front", "back"))])
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "    2 doors",
        "        front",
        "        back",
    ]
