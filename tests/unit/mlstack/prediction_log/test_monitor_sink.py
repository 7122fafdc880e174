"""Rows that are posted to the monitoring service, and what happens if it refuses or fails."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from mlstack.prediction_log import monitor_sink
from mlstack.prediction_log.monitor_sink import MonitorSink
from tests.support.ports import free_port
from tests.support.waiting import wait_until

STORED = {
    "_id": "0f8fad5b-d9cb-469f-a165-70867728950e",
    "customer_age": 50,
    "prediction": 0.5,
    "model_run_id": "a" * 32,
    "contract": {"name": "credit_card_churn", "hash": "0"},
    "source": "kinesis",
    "created_at": "2026-01-01T00:00:00+00:00",
    "shard_id": "shardId-0",
    "sequence_number": "1",
}


class Service:
    """A monitoring service that records requests and gives prepared answers, or 200."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, Any]]] = []
        self.requests: list[tuple[str, Any]] = []
        self.tokens: list[str | None] = []
        self.server = make_server("127.0.0.1", 0, Request.application(self._answer))
        self.url = f"http://127.0.0.1:{self.server.server_port}/"

    def _answer(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("Authorization"))
        self.requests.append((request.path, json.loads(request.get_data())))
        status, body = self.answers.pop(0) if self.answers else (200, {})
        return Response(json.dumps(body), status, content_type="application/json")


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.server.serve_forever)
    thread.start()
    yield service
    service.server.shutdown()
    thread.join()
    service.server.server_close()


@pytest.fixture
def taken() -> list[int]:
    return []


@pytest.fixture
def sink(
    service: Service, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> Iterator[MonitorSink]:
    monkeypatch.setattr(monitor_sink, "_RETRY_SECONDS", 0.05)
    sink = MonitorSink(service.url, taken.append)
    sink.start()
    yield sink
    sink.stop()


def test_row_has_ids_but_no_origin(sink: MonitorSink, service: Service, taken: list[int]) -> None:
    """A row has features, prediction, run and id, and no other stored field."""
    sink.tell([STORED])
    wait_until(lambda: taken, "the row is taken")
    row = {
        "prediction_id": STORED["_id"],
        **{key: STORED[key] for key in ("customer_age", "prediction", "model_run_id")},
    }
    assert service.requests == [("/iterate/credit_card_churn", [row])]
    assert taken == [1]


def test_refused_rows_are_not_sent_again(
    sink: MonitorSink, service: Service, taken: list[int]
) -> None:
    """Refused rows are not sent again; only accepted ones are counted."""
    service.answers = [(422, {"accepted": 1, "refused": 1}), (400, {})]
    sink.tell([STORED, STORED])
    wait_until(lambda: taken == [1], "one of two rows is counted")
    sink.tell([STORED])
    wait_until(lambda: taken == [1, 0], "a refusal of all counts nothing")
    assert len(service.requests) == 2


def test_rows_wait_while_the_service_fails(
    sink: MonitorSink, service: Service, taken: list[int]
) -> None:
    """Rows are sent again while the service answers with 5xx."""
    service.answers = [(503, {}), (500, {})]
    sink.tell([STORED])
    wait_until(lambda: taken == [1], "the row is taken in the end")
    assert len(service.requests) == 3


def test_only_the_newest_rows_wait(taken: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """At most the newest rows wait for a service that is down."""
    monkeypatch.setattr(monitor_sink, "_RETRY_SECONDS", 0.05)
    sink = MonitorSink(f"http://127.0.0.1:{free_port()}", taken.append)
    sink.tell([{**STORED, "_id": str(i)} for i in range(monitor_sink.MAX_WAITING + 500)])
    sink.start()
    sink.stop()
    assert len(sink._waiting) <= monitor_sink.MAX_WAITING
    assert sink._waiting[-1]["_id"] == str(monitor_sink.MAX_WAITING + 499)
    assert taken == []


def test_token_is_sent(service: Service, taken: list[int]) -> None:
    """The token is sent with each request."""
    sink = MonitorSink(service.url, taken.append, "opensesame")
    sink.start()
    try:
        sink.tell([STORED])
        wait_until(lambda: taken == [1], "the service has taken it")
    finally:
        sink.stop()
    assert service.tokens == ["Bearer opensesame"]
