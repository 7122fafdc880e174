"""Default passwords are tried on real servers, and one that works is found."""

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from operations.containers.default_passwords import find_default_passwords
from operations.containers.inspection import Inspected
from operations.errors import StackError
from tests.support.http_server import serving
from tests.support.ports import free_port


def container(service: str, port: int) -> Inspected:
    ports = {"1/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(port)}]}
    labels = {"com.docker.compose.service": service}
    document: dict[str, Any] = {
        "Config": {"Labels": labels},
        "HostConfig": {},
        "NetworkSettings": {"Ports": ports},
    }
    return Inspected(document, ())


@pytest.fixture
def grafana(request: pytest.FixtureRequest) -> Iterator[int]:
    """A server that asks for a login as Grafana does; its parameter is the password."""
    login = base64.b64encode(f"admin:{request.param}".encode()).decode()

    class Grafana(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fine = self.path == "/api/user" and self.headers["Authorization"] == f"Basic {login}"
            self.send_response(200 if fine else 401)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Grafana) as port:
        yield port


def test_mongodb_without_a_login_is_found(mongo: str) -> None:
    """It is counted among what lets everybody in."""
    found = find_default_passwords([container("mongo", int(mongo.rpartition(":")[2]))])
    assert "mongo: no login" in found


@pytest.mark.parametrize("grafana", ["admin"], indirect=True)
def test_grafana_with_its_first_password_is_found(grafana: int) -> None:
    """The password that Grafana comes with is tried."""
    assert find_default_passwords([container("grafana", grafana)]) == ("grafana: admin with admin",)


@pytest.mark.parametrize("grafana", ["kJ3-drawn"], indirect=True)
def test_grafana_with_its_own_password_is_not_counted(grafana: int) -> None:
    """A changed password is nothing to count."""
    assert find_default_passwords([container("grafana", grafana)]) == ()


@pytest.mark.parametrize("service", ["grafana", "mongo"])
def test_service_that_does_not_answer_is_no_0(service: str) -> None:
    """What cannot be asked is an error, not a good result."""
    with pytest.raises(StackError, match="does not answer"):
        find_default_passwords([container(service, free_port())])


def test_services_without_a_login_are_not_asked() -> None:
    """Only services with a login are asked."""
    assert find_default_passwords([container("prometheus", free_port())]) == ()
