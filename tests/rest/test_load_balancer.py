"""Several HTTP servers behind a real Nginx with the project's own configuration.

`make test-ledger` deploys more often.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from getpass import getuser
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Any

import psutil
import pytest

from mlstack.contract import Contract
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DeploymentState
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.entry import PREDICTION
from mlstack.prediction_log.prediction import ID
from mlstack.prediction_log.segment import Segment
from mlstack.prediction_log.segment_view import bodies_with
from mlstack.settings import ROOT, Settings
from tests.support.api_server import Answer, ApiServer, send
from tests.support.bad_requests import JSON, bad_requests
from tests.support.load import Load
from tests.support.models import keep_model
from tests.support.name_server import NameServer
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (apt-get install nginx-light)")

A, B = "a" * 32, "b" * 32
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
RATE = 100
DEPLOYS = int(os.environ.get("SERVERS_DEPLOYS", "2"))
# Nginx takes an empty header for none, answers 400 and not 404 to paths that it does not
# understand, and has no metrics.
BALANCERS_OWN = {
    *("Idempotency-Key empty to /predict", "Idempotency-Key empty to /predict/batch"),
    *("POST to /predict%00", "GET /docs/../../../../etc/passwd"),
    *("GET /docs/%2e%2e/%2e%2e/__init__.py", "POST to /metrics", "DELETE to /metrics"),
}


@dataclass
class Balancer:
    """A running load balancer.

    Args:
        names: Tells it the addresses of the servers.
        servers_port: The servers' port, at each address.
    """

    port: int
    names: NameServer
    servers_port: int

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with closing(connection):
            return send(connection, method, path, body, headers)

    def told(self, request: bytes) -> bytes:
        """Send bytes; return what comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(4096), b""))


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    assert NGINX is not None
    port, servers_port = free_ports(2)
    with NameServer() as names:
        values = {
            "BALANCER_LISTEN": f"127.0.0.1:{port}",
            "BALANCER_RESOLVER": f"127.0.0.1:{names.port}",
            "BALANCER_SERVERS": f"servers.test:{servers_port}",
            "BALANCER_TMP": str(tmp_path),
        }
        template = (ROOT / "server/nginx/nginx.conf.template").read_text()
        file = tmp_path / "nginx.conf"
        file.write_text(Template(template).safe_substitute(values))
        # All processes run as one user, as in the container.
        process = subprocess.Popen([NGINX, "-c", file, "-g", f"daemon off; user {getuser()};"])
        balancer = Balancer(port, names, servers_port)
        try:
            wait_until(lambda: _listens(port) or process.poll() is not None, "Nginx listens")
            assert process.poll() is None, "it says above why not"
            yield balancer
        finally:
            process.terminate()
            process.wait()


@pytest.fixture
def state(tmp_path: Path, documented: Contract) -> Path:
    state = tmp_path / "state"
    for seed, run_id in enumerate((A, B)):
        keep_model(state, run_id, documented, seed)
    DeploymentState(state).write_record(A, "test")
    return state


@contextmanager
def server(balancer: Balancer, state: Path, host: str) -> Iterator[ApiServer]:
    """Run one of the servers, which share the state folder."""
    port = str(balancer.servers_port)
    with ApiServer(state, BIND_ADDRESS=host, API_PORT=port, API_WORKERS="1") as running:
        yield running


def test_no_request_fails_while_servers_come_and_go(
    balancer: Balancer, state: Path, documented: Contract
) -> None:
    """One is killed, one is added and models are deployed; each prediction is made once."""
    deployer = Deployer(Settings(state_dir=state), ModelStore(state / "models"))
    url = f"http://127.0.0.1:{balancer.port}/predict"
    first, second, third = HOSTS
    with server(balancer, state, first) as killed, server(balancer, state, second) as one:
        balancer.names.addresses = [first, second]
        with Load(url, dict(documented.example), RATE) as load:
            wait_until(lambda: len(load.sent) > RATE, "requests are answered")
            # As in Docker, its name leads to the third one before it is ready.
            balancer.names.addresses = list(HOSTS)
            with server(balancer, state, third) as another:
                living = [killed, one, another]
                for number in range(DEPLOYS):
                    if number == DEPLOYS // 2:
                        living.remove(killed)
                        _kill(killed)
                    run_id = A if number % 2 else B
                    deployer.deploy(run_id)
                    deployed = time.monotonic()
                    assert {_served(each) for each in living} == {run_id}
                    load.wait_for_requests_after(deployed + 0.5)
                    late = {each.run_id for each in load.sent if each.begun > deployed}
                    assert late == {run_id}
                balancer.names.addresses = [second, third]
                load.wait_for_requests_after(time.monotonic() + 1)
    assert load.failed == []
    answered = [each.prediction_id for each in load.sent]
    assert len({*answered}) == len(answered)
    assert {*_kept(state)} == {*answered}


def test_server_without_a_model_is_passed_over(
    balancer: Balancer, state: Path, tmp_path: Path, documented: Contract
) -> None:
    """Its 503 reaches a client only if no other server has an answer."""
    (tmp_path / "empty").mkdir()
    body = json.dumps(documented.example).encode()
    live = {"awaited": "/health/live", "API_PORT": str(balancer.servers_port), "API_WORKERS": "1"}
    with ApiServer(tmp_path / "empty", BIND_ADDRESS=HOSTS[1], **live):
        balancer.names.addresses = [HOSTS[1]]
        refused = balancer.ask("POST", "/predict", body, (JSON,))
        assert (refused.status, refused.json()["code"]) == (503, "not_ready")
        assert "no model is deployed" in refused.json()["detail"]
        with server(balancer, state, HOSTS[0]):
            balancer.names.addresses = list(HOSTS[:2])
            # Each of Nginx's processes looks up the name by itself, once a second.
            wait_until(
                lambda: all(
                    balancer.ask("POST", "/predict", body, (JSON,)).status == HTTPStatus.OK
                    for _ in range(20)
                ),
                "no request is answered by the one without a model",
            )


def test_servers_errors_pass_unchanged(
    balancer: Balancer, state: Path, documented: Contract
) -> None:
    """The table of bad requests holds behind the load balancer too."""
    with server(balancer, state, HOSTS[0]):
        balancer.names.addresses = [HOSTS[0]]
        wrong = []
        for request in bad_requests(documented):
            answer = balancer.ask(request.method, request.path, request.body, request.headers)
            code = request.code
            if answer.status != HTTPStatus.OK and answer.body:
                code = answer.json()["code"]
            if (answer.status, code) != (request.status, request.code):
                wrong.append((request.name, request.status, answer.status, code))
        assert {name for name, *_ in wrong} == BALANCERS_OWN, wrong


def test_key_of_a_client_stays(balancer: Balancer, state: Path, documented: Contract) -> None:
    """A request that the client sends again has the same prediction id, and only then."""
    body = json.dumps(documented.example).encode()
    with server(balancer, state, HOSTS[0]):
        balancer.names.addresses = [HOSTS[0]]

        def ask(*headers: tuple[str, str]) -> Any:
            return balancer.ask("POST", "/predict", body, (JSON, *headers)).json()["prediction_id"]

        key = ("Idempotency-Key", "mine")
        assert ask(key) == ask(key)
        assert len({ask(key), ask(), ask()}) == 3


def test_errors_of_the_balancer_are_problems(balancer: Balancer) -> None:
    """Without a server, and for what no server gets to see, no page of Nginx's is sent."""
    down = balancer.ask("POST", "/predict", b"{}", (JSON,))
    assert (down.status, down.json()["code"], down.headers["retry-after"]) == (
        503,
        "not_ready",
        "5",
    )
    assert down.headers["x-request-id"] == down.json()["request_id"]
    long = "a" * 20_000
    for answer, status, code in (
        (balancer.ask("POST", "/predict", b"x" * 18_000_000, (JSON,)), 413, "body_too_large"),
        (balancer.ask("GET", f"/{long}"), 431, "request_header_fields_too_large"),
        (balancer.ask("GET", "/", None, (("X-A", long),)), 431, "request_header_fields_too_large"),
        (balancer.ask("TRACE", "/"), 405, "method_not_allowed"),
        (balancer.ask("GET", "/metrics"), 404, "not_found"),
        (balancer.ask("GET", "/.load-balancer/unavailable"), 404, "not_found"),
    ):
        assert (answer.status, answer.json()["code"]) == (status, code)
        assert answer.json()["status"] == status
        assert answer.headers["content-type"] == "application/problem+json"
    for malformed in (
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/3.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ):
        head, _, body = balancer.told(malformed).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 "), malformed
        assert json.loads(body)["code"] == "bad_request"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _served(server: ApiServer) -> str:
    return str(server.request("GET", "/health/ready").json()["model_run_id"])


def _kill(server: ApiServer) -> None:
    """Kill all processes of a server, as an engine does with a container."""
    for process in (*server.workers(), psutil.Process(server.process.pid)):
        process.kill()


def _kept(state: Path) -> list[str]:
    """List the ids of the predictions in all spools."""
    return [
        json.loads(body)[ID]
        for path in Segment.paths(state / "spool")
        for body in bodies_with(path, PREDICTION, b"")
    ]
