"""A probe tells a working service from a broken one, and from another program at its port."""

import json
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from mlstack import probes
from mlstack.probes import Answer

ADDRESS = "http://127.0.0.1:9696"


@pytest.mark.parametrize("probe", [probes.model_is_served, probes.monitor_watches])
@pytest.mark.parametrize(
    "body", [b"<html>hello</html>", b"", b"[]", b"{}", b'{"detail": 1}', b"\xff"]
)
def test_other_program_at_port_is_not_ready(
    probe: Callable[[str], Answer], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    answer = probe(ADDRESS)
    assert not answer.ready
    assert f"another program answers at {ADDRESS}/health/ready" in answer.detail


def test_detail_says_what_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"model_run_id": "a1", "detail": "no drift"}'
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    assert probes.model_is_served(ADDRESS) == Answer(ready=True, detail="a1")
    assert probes.monitor_watches(ADDRESS) == Answer(ready=True, detail="no drift")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "no model yet"}', "no model yet"),
        (b'{"detail": 5}', '{"detail": 5}'),
        (b"<h1>\n Bad  gateway</h1>", "<h1> Bad gateway</h1>"),
    ],
)
def test_detail_quotes_refusal(body: bytes, said: str) -> None:
    assert probes.why(503, body) == f"answers with 503: {said}"


@pytest.mark.parametrize(
    ("ages", "said"),
    [
        ([3, 500], ""),
        ([500], "Prefect has not heard of it for 500 s"),
        ([], "Prefect has not heard of it for minutes"),
    ],
)
def test_worker_is_online_if_prefect_heard_of_it(
    monkeypatch: pytest.MonkeyPatch, ages: list[int], said: str
) -> None:
    """Prefect itself calls a killed worker online for minutes."""
    heard = [(datetime.now(UTC) - timedelta(seconds=age)).isoformat() for age in ages]
    body = json.dumps([{"last_heartbeat_time": each} for each in heard]).encode()
    monkeypatch.setattr(probes, "ask", lambda *_: (200, body))
    assert probes.worker_is_online("http://prefect/api/work_pools/local") == Answer(
        ready=not said, detail=said
    )


@pytest.mark.parametrize(
    ("count", "said"), [(0, "none has reached the scheduler"), (1, "1 worker"), (3, "3 workers")]
)
def test_dask_workers_are_counted(monkeypatch: pytest.MonkeyPatch, count: int, said: str) -> None:
    """Without one, no search goes on."""
    monkeypatch.setattr(probes, "ask", lambda *_: (200, json.dumps({"workers": count}).encode()))
    assert probes.dask_has_workers("http://dask-scheduler:8787") == Answer(
        ready=count > 0, detail=said
    )
    monkeypatch.setattr(probes, "ask", lambda *_: (0, b"it is not running"))
    said = probes.dask_has_workers("http://dask-scheduler:8787").detail
    assert said == "the scheduler: it is not running"


def test_port_and_container_are_probed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probes.port_answers(f"127.0.0.1:{port}").ready
    assert "nothing listens at its port" in probes.port_answers(f"127.0.0.1:{port}").detail
    assert probes.container_runs("localhost").ready
    assert "does not exist or is not started" in probes.container_runs("no such name").detail


@pytest.mark.parametrize("kind", ["http", "mongodb"])
def test_silence_is_explained_in_plain_words(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way of getting no answer has one sentence, without an error number."""
    monkeypatch.setattr(probes, "_SECONDS", 0.1)
    probe = {"http": probes.url_answers, "mongodb": probes.mongo_answers}[kind]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{kind}://127.0.0.1:{silent.getsockname()[1]}"
        assert probe(address).detail == probes.TIMED_OUT
    assert probe(address).detail == probes.REFUSED


@pytest.mark.parametrize("probe", [probes.url_answers, probes.mongo_answers])
def test_unknown_name_is_an_absent_container(
    probe: Callable[[str], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine resolves the names of running containers only."""

    def resolve(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert probe("http://grafana:3000").detail == probes.UNKNOWN_NAME


@pytest.mark.parametrize("probe", [probes.url_answers, probes.mongo_answers])
def test_closed_connection_is_explained(probe: Callable[[str], Answer]) -> None:
    """A port that Docker publishes accepts connections before the service listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close() -> None:
            connection, _ = server.accept()
            connection.recv(65_536)
            connection.close()

        threading.Thread(target=close, daemon=True).start()
        answer = probe(f"http://127.0.0.1:{server.getsockname()[1]}")
    assert answer == Answer(ready=False, detail="it closes the connection instead of answering")
