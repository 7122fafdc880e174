"""Security figures count what they say, from what the engine really tells."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from mlstack.settings import ROOT
from operations.containers.security import Figure, Inspected, figures, open_files, report

# What `docker inspect` said of the server, MongoDB and the AWS emulator, without what nobody reads.
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
    """What is counted, by what it is; figures that are 0 are left out."""
    containers = [Inspected(document, uids) for document in documents.values()]
    return {figure.what: figure.found for figure in figures(containers, secrets) if figure.found}


def test_the_stack_as_it_is_has_none_of_all_this(documents: dict[str, dict[str, Any]]) -> None:
    assert found(documents, secrets={"token": "not in there"}) == {}


def test_what_was_recorded_is_read(documents: dict[str, dict[str, Any]]) -> None:
    server, mongo = (Inspected(documents[name], {10001}) for name in ("model-server-api", "mongo"))
    assert (server.is_ours, server.is_root, mongo.is_ours, mongo.is_root) == (
        True,
        False,
        False,
        True,
    )
    assert server.ports == [("127.0.0.1", 9696)]
    assert mongo.image == "mongo"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1"])  # noqa: S104
def test_a_port_that_others_reach(documents: dict[str, dict[str, Any]], host: str) -> None:
    ports = documents["mongo"]["NetworkSettings"]["Ports"]
    ports["27017/tcp"] = [{"HostIp": host, "HostPort": "27018"}]
    ((what, lines),) = found(documents).items()
    assert what == "ports outside loopback"
    assert lines == (f"mongo: {host or 'every address'} port 27018",)


@pytest.mark.parametrize(("port", "count"), [("443", 0), ("9090", 1)])
def test_the_proxy_alone_may_be_reached_and_where_it_encrypts_alone(
    documents: dict[str, dict[str, Any]], port: str, count: int
) -> None:
    server = documents["model-server-api"]
    server["Config"]["Labels"]["com.docker.compose.service"] = "proxy"
    server["NetworkSettings"]["Ports"] = {"x/tcp": [{"HostIp": "192.0.2.1", "HostPort": port}]}
    assert len(found(documents).get("ports outside loopback", ())) == count


@pytest.mark.parametrize("user", ["", "0", "root", "0:0"])
def test_one_of_ours_that_is_started_as_root(
    documents: dict[str, dict[str, Any]], user: str
) -> None:
    documents["model-server-api"]["Config"]["User"] = user
    assert found(documents) == {"of our containers as root": ("model-server-api",)}


def test_one_of_ours_with_a_process_that_is_root(documents: dict[str, dict[str, Any]]) -> None:
    assert found(documents, uids=(10001, 0)) == {"of our containers as root": ("model-server-api",)}


def test_a_public_image_as_root_that_nobody_gave_a_reason_for(
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
        ("CapDrop", None, "of our containers with capabilities"),
        ("CapDrop", ["CHOWN"], "of our containers with capabilities"),
        ("SecurityOpt", None, "of our containers that can gain privileges"),
        ("SecurityOpt", ["seccomp=unconfined"], "of our containers that can gain privileges"),
        ("ReadonlyRootfs", False, "of our containers with a writable root"),
        ("NetworkMode", "host", "parts of the machine in containers"),
        ("PidMode", "host", "parts of the machine in containers"),
    ],
)
def test_what_one_of_ours_has_too_much_of(
    documents: dict[str, dict[str, Any]], key: str, value: object, what: str
) -> None:
    documents["model-server-api"]["HostConfig"][key] = value
    ((counted, lines),) = found(documents).items()
    assert counted == what
    assert "model-server-api" in lines[0]


def test_the_engine_in_a_container(documents: dict[str, dict[str, Any]]) -> None:
    documents["localstack"]["Mounts"].append({"Source": "/var/run/docker.sock"})
    assert list(found(documents)) == ["parts of the machine in containers"]


def test_a_secret_in_an_environment_is_named_and_not_shown(
    documents: dict[str, dict[str, Any]],
) -> None:
    documents["mongo"]["Config"]["Env"].append("URI=mongodb://root:s3cret@mongo")
    assert found(documents, secrets={"mongo_root_password": "s3cret"}) == {
        "secrets in an environment": ("mongo: URI has mongo_root_password",)
    }


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    for name, mode in (("fine", 0o600), ("open", 0o644), ("tls/key", 0o640), ("tls/fine", 0o400)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert open_files(tmp_path).found == ("open: 644", "tls/key: 640")
    assert open_files(tmp_path / "none").found == ()


def test_one_figure_that_is_not_0_is_enough() -> None:
    said: list[str] = []
    assert report([Figure("holes", ())], said.append)
    assert not report([Figure("holes", ()), Figure("doors", ("front", "back"))], said.append)
    assert said[-3:] == ["    2 doors", "        front", "        back"]
