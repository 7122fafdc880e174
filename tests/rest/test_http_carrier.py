"""What carries the HTTP servers: many, slow and sudden clients, and a stop or reload under load."""

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest

from mlstack.contract import Contract
from tests.support.api_server import ApiServer, send
from tests.support.bad_requests import JSON
from tests.support.models import RUN_ID, deploy_model
from tests.support.waiting import wait_until


@pytest.fixture
def state(tmp_path: Path, documented: Contract) -> Path:
    deploy_model(tmp_path, documented)
    return tmp_path


@pytest.fixture
def server(state: Path) -> Iterator[ApiServer]:
    with ApiServer(state, API_WORKERS="2", API_THREADS="2") as server:
        yield server


class Clients:
    """Clients that ask again and again, each on a connection that it keeps while it may."""

    def __init__(self, server: ApiServer, customer: str, count: int = 8) -> None:
        self._server, self._customer = server, customer
        self._pool = ThreadPoolExecutor(count)
        self._stop = threading.Event()
        self.answered, self.lost = 0, list[str]()
        self._asking = [self._pool.submit(self._ask) for _ in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for each in self._asking:
            each.result()

    def _ask(self) -> None:
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=30)
            try:
                connection.connect()
            except ConnectionRefusedError:
                return  # the server has stopped
            with contextlib.closing(connection):
                self._ask_while_it_lives(connection)

    def _ask_while_it_lives(self, connection: http.client.HTTPConnection) -> None:
        while not self._stop.is_set():
            try:
                answer = send(connection, "POST", "/predict", self._customer, [JSON])
            except (http.client.HTTPException, OSError) as error:
                self.lost.append(repr(error))
                return
            assert answer.status == 200, answer
            self.answered += 1
            if answer.headers.get("connection") == "close":
                return

    def wait_for(self, count: int) -> None:
        wanted = self.answered + count
        wait_until(lambda: self.lost or self.answered >= wanted, "answers come")


def test_reload_and_stop_under_load_lose_nothing(server: ApiServer, documented: Contract) -> None:
    """Every request that was sent is answered, while workers are replaced and at the end."""
    with Clients(server, json.dumps(documented.example)) as clients:
        clients.wait_for(200)
        for _ in range(2):
            before = {worker.pid for worker in server.workers()}
            server.process.send_signal(signal.SIGHUP)
            wait_until(
                lambda before=before: (  # type: ignore[misc] # mypy infers no default's type
                    before.isdisjoint({worker.pid for worker in server.workers()})
                    and len(server.workers()) == 2
                ),
                "the workers are new",
            )
            clients.wait_for(200)
        assert server.stop() == 0
    assert clients.lost == []


def test_idle_connections_keep_nobody_waiting(server: ApiServer, documented: Contract) -> None:
    """A thousand connections of which most never say a word take no thread and little time."""
    begun = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        for number in range(1000):
            connection = stack.enter_context(server.connect())
            if number % 10 == 0:
                connection.sendall(begun if number % 20 else begun[:20])
        for _ in range(50):
            moment = time.monotonic()
            assert server.post("/predict", dict(documented.example)).status == 200
            assert time.monotonic() - moment < 1


def test_client_that_reads_nothing_is_let_go(server: ApiServer) -> None:
    """It asks for pages without reading them; others are answered, and it is cut off."""
    connection = socket.socket()
    # Small, or the kernel would take all the answers.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    with contextlib.closing(connection):
        connection.connect(("127.0.0.1", server.port))
        page = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(page * 20)
        assert server.request("GET", "/health/live").status == 200
        wait_until(lambda: _is_cut_off(connection), "it is cut off", seconds=20)
    assert server.request("GET", "/health/live").status == 200


def _is_cut_off(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    except ConnectionError:
        return True
    return False


def test_slow_head_is_told_so(server: ApiServer) -> None:
    """A head that stops in the middle is answered with 408."""
    with server.connect() as connection:
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost:")
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in said


def test_flask_alone_is_a_complete_server(state: Path, documented: Contract) -> None:
    """Any WSGI server runs it, gunicorn's own worker for one."""
    app, worker = "server.predict_api_server:flask_app", "--worker-class gthread"
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with ApiServer(state, app=app, GUNICORN_CMD_ARGS=worker) as server:
        assert server.post("/predict", dict(documented.example)).status == 200
        assert server.post("/predict", {}).json()["code"] == "invalid_customer"
        assert server.post("/predict", "x" * 100_000).json()["code"] == "body_too_large"
        assert server.request("GET", "/health/ready").json()["model_run_id"] == RUN_ID
        with server.connect() as connection:
            connection.sendall(head + b"Content-Length: 1000\r\n\r\n{")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
        assert server.stop() == 0
