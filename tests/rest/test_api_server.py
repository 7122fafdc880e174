"""The HTTP server under gunicorn: over real connections, with real processes that die."""

import contextlib
import itertools
import json
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.deployer import Deployer
from mlstack.deployment.record import DeploymentState
from mlstack.model.model import Model
from mlstack.model.model_store import ModelStore
from mlstack.settings import ROOT, Settings
from tests.support.api_server import Answer, ApiServer, send
from tests.support.bad_requests import JSON, bad_requests
from tests.support.contracts import CONTRACTS
from tests.support.keeper import LogKeeper
from tests.support.models import keep_model, predictions
from tests.support.ports import free_port
from tests.support.raw_requests import raw_requests
from tests.support.readme import README
from tests.support.waiting import wait_until

A, B = "a" * 32, "b" * 32
README_CURL = next(command for command in README if "/predict -d" in command)


def deployed_state(folder: Path, contract: Contract) -> Path:
    """A state folder in which model A is deployed, and B is known."""
    for seed, run_id in enumerate((A, B)):
        keep_model(folder, run_id, contract, seed)
    DeploymentState(folder).write_record(A, "test")
    return folder


@pytest.fixture(scope="module", params=CONTRACTS)
def serving(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ApiServer, Contract]]:
    """A server of each contract, for tests that do not change it."""
    contract = Contract.load(ROOT / "contracts" / f"{request.param}.yaml")
    state = deployed_state(tmp_path_factory.mktemp(request.param), contract)
    name = f"contracts/{request.param}.yaml"
    with ApiServer(state, CONTRACT=name, API_WORKERS="2", API_THREADS="4") as server:
        yield server, contract
        log = server.log.read_text()
        assert "Traceback" not in log, log
        assert server.metric("mlstack_http_requests_total", status="500") == 0


@pytest.fixture
def state(tmp_path: Path, documented: Contract) -> Path:
    return deployed_state(tmp_path, documented)


@pytest.fixture
def server(state: Path) -> Iterator[ApiServer]:
    """A server that a test may damage."""
    with ApiServer(state, API_WORKERS="2", API_THREADS="4") as server:
        yield server


def read_answer(connection: socket.socket) -> Answer | None:
    """Read the next answer on a bare connection; None: closed without one."""
    with connection.makefile("rb") as stream:
        line = stream.readline()
        if not line:
            return None
        headers = {}
        while (header := stream.readline().strip()) != b"":
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
    return Answer(int(line.split()[1]), headers, body)


def test_bad_requests_are_refused_as_the_table_says(
    serving: tuple[ApiServer, Contract],
) -> None:
    """Each bad request gets its status and code, and the next good one is answered."""
    server, contract = serving
    wrong = []
    for request in bad_requests(contract):
        answer = server.request(request.method, request.path, request.body, request.headers)
        code = answer.json()["code"] if answer.body else request.code
        if (answer.status, code) != (request.status, request.code):
            wrong.append((request.name, answer))
    assert not wrong
    assert server.post("/predict", dict(contract.example)).status == 200


def test_malformed_bytes_never_bring_the_server_down(serving: tuple[ApiServer, Contract]) -> None:
    """Whatever comes on a connection, the next request is answered."""
    server, contract = serving
    wrong = []
    for request in raw_requests(contract):
        with server.connect(timeout=10) as connection:
            # The server may close before it has read everything: only the answer matters.
            with contextlib.suppress(ConnectionError):
                connection.sendall(request.payload)
                if request.ends:
                    connection.shutdown(socket.SHUT_WR)
            answer = read_answer(connection)
        status = answer.status if answer else None
        code = answer.json()["code"] if answer and request.code else ""
        if status not in request.statuses or code != request.code:
            wrong.append((request.name, answer))
    assert not wrong
    assert server.post("/predict", dict(contract.example)).status == 200


def test_chunked_body_is_answered(serving: tuple[ApiServer, Contract]) -> None:
    """A body in chunks of one byte is as good as any."""
    server, contract = serving
    body = json.dumps(contract.example).encode()
    chunks = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in body)
    with server.connect() as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        )
        answer = read_answer(connection)
    assert answer
    assert (answer.status, answer.json()["model_run_id"]) == (200, A)


def test_endless_chunks_are_refused_while_they_come(
    serving: tuple[ApiServer, Contract],
) -> None:
    """A body that never ends is refused once it is too large."""
    server, _ = serving
    sent = 0
    with server.connect() as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                sent += 0x10000
        answer = read_answer(connection)
    assert answer
    assert (answer.status, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["connection"] == "close"


def test_pipelined_requests_are_answered_in_turn(
    serving: tuple[ApiServer, Contract],
) -> None:
    """Requests that are sent at once on one connection are answered one by one."""
    server, contract = serving
    body = json.dumps(contract.example).encode()
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    with server.connect() as connection:
        connection.sendall(request * 5 + b"nonsense\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as stream:
            everything = stream.read()
    assert re.findall(rb"HTTP/1.1 (\d+)", everything) == [b"200"] * 5 + [b"400"]


def test_expect_continue_is_answered(serving: tuple[ApiServer, Contract]) -> None:
    """A client that waits for 100 Continue gets it."""
    server, contract = serving
    body = json.dumps(contract.example).encode()
    with server.connect() as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        interim = read_answer(connection)
        assert interim
        assert interim.status == 100
        connection.sendall(body)
        answer = read_answer(connection)
    assert answer
    assert answer.status == 200


def test_head_and_options_are_answered(serving: tuple[ApiServer, Contract]) -> None:
    """HEAD has no body, OPTIONS names the methods."""
    server, _ = serving
    head = server.request("HEAD", "/health/ready")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0
    options = server.request("OPTIONS", "/predict")
    assert (options.status, sorted(options.headers["allow"].split(", "))) == (
        200,
        ["OPTIONS", "POST"],
    )
    with server.connect() as connection:
        connection.sendall(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = read_answer(connection)
    assert answer
    assert answer.status < 500


def test_readme_curl_line_works(state: Path, documented: Contract) -> None:
    """The answer is the model's own score."""
    with ApiServer(state) as server:
        line = README_CURL.replace(":9696/", f":{server.port}/")
        done = subprocess.run(
            [*shlex.split(line), "--silent"], capture_output=True, check=True, timeout=30
        )
    answer = json.loads(done.stdout)
    customer = json.loads(shlex.split(README_CURL)[-1])
    expected = predictions(Model.load(state / "models" / A, A), [customer])[0]
    assert (answer[documented.answer], answer["model_run_id"]) == (expected, A)


def test_stalled_clients_do_not_stop_the_server(server: ApiServer, documented: Contract) -> None:
    """More clients than threads stop in a body, in a head, or never say a word."""
    body = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    body += b"Content-Length: 100\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(server.connect(timeout=60)) for _ in range(18)]
        for i, connection in enumerate(stalled):
            connection.sendall((body, b"GET /health", b"")[i % 3])
        assert server.post("/predict", dict(documented.example)).status in {200, 503}
        with_body = read_answer(stalled[0])
        assert with_body
        assert (with_body.status, with_body.json()["code"]) == (408, "body_too_slow")
        wait_until(server.answers, "the server answers again")
        assert server.post("/predict", dict(documented.example)).status == 200


def test_silent_connections_take_no_thread(server: ApiServer, documented: Contract) -> None:
    """Idle connections do not keep others waiting."""
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            stack.enter_context(server.connect())
        begun = time.monotonic()
        assert server.post("/predict", dict(documented.example)).status == 200
        assert time.monotonic() - begun < 2


def test_overloaded_server_refuses_and_recovers(state: Path, documented: Contract) -> None:
    """Too much at once gets 503 with Retry-After, and afterwards all is well."""
    batch = json.dumps([dict(documented.example)] * 1000)
    example = json.dumps(dict(documented.example))
    with (
        ApiServer(state, API_WORKERS="1", API_THREADS="1") as server,
        ThreadPoolExecutor(200) as pool,
    ):
        answers = list(
            pool.map(lambda _: server.request("POST", "/predict/batch", batch, [JSON]), range(400))
        )
        assert {answer.status for answer in answers} == {200, 503}
        refused = [answer for answer in answers if answer.status == 503]
        assert {answer.json()["code"] for answer in refused} == {"overloaded"}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
        assert server.request("POST", "/predict", example, [JSON]).status == 200


def test_killed_worker_comes_back_and_keeps_its_counts(
    server: ApiServer, documented: Contract
) -> None:
    """Workers are replaced, and metrics go on from where they were."""
    example = dict(documented.example)
    for _ in range(20):
        assert server.post("/predict", example).status == 200
    before = {worker.pid for worker in server.workers()}
    for worker in server.workers():
        worker.send_signal(signal.SIGKILL)
    wait_until(
        lambda: len(server.workers()) == 2 and before.isdisjoint(w.pid for w in server.workers()),
        "two new workers are there",
    )
    # A request to a worker that was just killed is lost with it; later ones are not.
    wait_until(server.answers, "the server is ready again")
    for _ in range(20):
        assert server.post("/predict", example).status == 200
    assert server.metric("mlstack_predictions_total", model_run_id=A) == 40
    assert server.metric("mlstack_model_loaded", model_run_id=A) == 1


def test_counts_of_all_workers_add_up(server: ApiServer, documented: Contract) -> None:
    """Metrics are those of all workers together."""
    example, count = dict(documented.example), 300

    def send_some(_: int) -> int:
        return sum(server.post("/predict", example).status == 200 for _ in range(count // 10))

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(send_some, range(10))) == count
    assert server.metric("mlstack_predictions_total", source="api") == count
    for name in ("requests_total", "request_duration_seconds_count"):
        assert server.metric(f"mlstack_http_{name}", route="/predict", status="200") == count
    folder = next((server.log.parent / "metrics").iterdir())
    counting = [file for file in folder.glob("counter_*.db") if b'"api"' in file.read_bytes()]
    assert len(counting) == 2, "both workers answered some"


def test_connections_are_shared_out_among_workers(server: ApiServer) -> None:
    """A client's pool of eight connections, opened at once, keeps both workers busy."""
    started = "Started server process"
    wait_until(lambda: server.log.read_text().count(started) >= 2, "both workers listen")
    with contextlib.ExitStack() as stack:
        pool = [stack.enter_context(server.connect()) for _ in range(8)]
        own = {connection.getsockname()[1] for connection in pool}
        wait_until(lambda: sum(_counts(server, own)) == 8, "all are accepted")
        assert min(_counts(server, own)) >= 3


def _counts(server: ApiServer, ports: set[int]) -> list[int]:
    """How many of some clients' connections each worker has."""
    return [
        sum(bool(each.raddr) and each.raddr.port in ports for each in worker.net_connections("tcp"))
        for worker in server.workers()
    ]


def test_stopping_server_answers_what_was_asked(server: ApiServer, documented: Contract) -> None:
    """SIGTERM while a body is on its way: the rest of it is still taken and answered."""
    body = json.dumps(documented.example).encode()
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    with contextlib.ExitStack() as stack:
        idle = HTTPConnection("127.0.0.1", server.port, timeout=30)
        stack.callback(idle.close)
        assert send(idle, "GET", "/health/live").status == 200
        # Fewer than a worker has threads: one thread is left to show that the others are busy.
        asking = [stack.enter_context(server.connect()) for _ in range(3)]
        for connection in asking:
            connection.sendall(head + body[:10])
        assert server.request("GET", "/health/live").status == 200
        begun = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _refuses(server), "the server takes no new connections")
        for connection in asking:
            connection.sendall(body[10:])
        answers = [read_answer(connection) for connection in asking]
        assert [answer.status for answer in answers if answer] == [200] * 3, answers
        assert {answer.headers["connection"] for answer in answers if answer} == {"close"}
        assert server.process.wait(30) == 0
        assert "was sent SIG" not in server.log.read_text(), "workers end by themselves"
        # Idle connections are kept for 75 s; the prediction log tries MongoDB for some seconds.
        assert time.monotonic() - begun < 25, "idle connections are not waited for"
    statements = list((server.log.parent / "serving").glob("*.json"))
    assert statements == [], "no worker says any more that it serves"


def test_killed_master_does_not_block_the_next_start(server: ApiServer, state: Path) -> None:
    """Its workers end by themselves, and the port is free."""
    workers = server.workers()
    with contextlib.closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as idle:
        assert send(idle, "GET", "/health/live").status == 200
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(10)
        wait_until(lambda: _refuses(server), "the port is free", seconds=10)
        wait_until(lambda: not any(map(_lives, workers)), "the workers are gone", seconds=15)
    with ApiServer(state, API_PORT=str(server.port)) as next_one:
        assert next_one.process.poll() is None


def _lives(process: psutil.Process) -> bool:
    # Its new parent may not have collected it yet.
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _refuses(server: ApiServer) -> bool:
    try:
        server.connect(timeout=1).close()
    except OSError:
        return True
    return False


def test_model_is_swapped_under_load(server: ApiServer, state: Path, documented: Contract) -> None:
    """Every answer comes, and comes whole from the model that it names."""
    customers = CustomerGenerator(documented, seed=5).draw(50)
    expected = {
        run_id: predictions(Model.load(state / "models" / run_id, run_id), customers)
        for run_id in (A, B)
    }
    done = threading.Event()
    seen: Counter[str] = Counter()
    failed: list[Any] = []

    def ask() -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
        for i in itertools.cycle(range(len(customers))):
            if done.is_set():
                break
            answer = send(connection, "POST", "/predict", json.dumps(customers[i]), [JSON])
            document = answer.json()
            run_id = document.get("model_run_id")
            if answer.status != 200 or document["churn chance"] != expected[run_id][i]:
                failed.append((i, answer))
                break
            seen[run_id] += 1
        connection.close()

    settings = Settings(state_dir=state)
    deployer = Deployer(settings, ModelStore.of(settings))
    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(ask) for _ in range(6)]
        try:
            for run_id in (B, A, B):
                deployer.deploy(run_id)
                assert server.request("GET", "/health/ready").json()["model_run_id"] == run_id
                some = Counter({run_id: seen[run_id] + 200})
                wait_until(partial(_answered, seen, some, failed), f"{run_id} answers")
        finally:
            done.set()
        for future in asking:
            future.result()
    assert not failed
    assert server.metric("mlstack_model_loaded", model_run_id=B) == 1
    assert server.metric("mlstack_model_loaded", model_run_id=A) == 0


def _answered(seen: Counter[str], wanted: Counter[str], failed: list[Any]) -> bool:
    return bool(failed) or wanted <= seen


def test_server_without_a_model_is_ready_after_a_deploy(
    tmp_path: Path, documented: Contract
) -> None:
    """It is alive before, and says what is missing."""
    keep_model(tmp_path, A, documented, seed=1)
    settings = Settings(state_dir=tmp_path)
    with ApiServer(tmp_path, "/health/live") as server:
        ready = server.request("GET", "/health/ready")
        assert (ready.status, ready.json()["code"]) == (503, "not_ready")
        assert "make deploy" in ready.json()["detail"]
        assert server.post("/predict", dict(documented.example)).status == 503
        Deployer(settings, ModelStore.of(settings)).deploy(A)
        assert server.post("/predict", dict(documented.example)).status == 200


def test_keeper_waits_while_mongodb_has_no_address(tmp_path: Path, documented: Contract) -> None:
    """The servers of an Atlas cluster are looked up by name; the keeper does not end for that."""
    keep_model(tmp_path, A, documented, seed=1)
    nowhere = LogKeeper(tmp_path, MONGO_URI="mongodb+srv://cluster.invalid/")
    with nowhere as keeper, ApiServer(tmp_path, RUN_ID=A) as server:
        assert server.post("/predict", dict(documented.example)).status == 200
        wait_until(lambda: keeper.metric("mlstack_spool_records") == 1, "the prediction waits")


def test_server_without_mlflow_says_so_and_stops_at_once(
    tmp_path: Path,
) -> None:
    """It is alive, not ready, and says why."""
    nobody = f"http://127.0.0.1:{free_port()}"
    with ApiServer(tmp_path, "/health/live", RUN_ID=B, MLFLOW_TRACKING_URI=nobody) as server:
        wait_until(
            lambda: "MLflow" in server.request("GET", "/health/ready").json()["detail"],
            "the server says that MLflow cannot be reached",
        )
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 15
