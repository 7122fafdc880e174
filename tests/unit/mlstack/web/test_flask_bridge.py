"""Bodies as they are read, and requests as a WSGI application gets them."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from flask import Flask, Response, request

from mlstack.web import flask_bridge
from mlstack.web.flask_bridge import (
    WAITED,
    Body,
    BodyTooLargeError,
    FlaskBridge,
    TooManyBodiesError,
    read_body,
)
from mlstack.web.problems import Problem, answer_errors, http_kind
from mlstack.web.request_checks import RequestRefused, read_json
from tests.support.asgi import ask

LIMIT = 1000


def read(*parts: bytes | Exception, headers: Iterable[tuple[bytes, bytes]] = ()) -> Body:
    """Read a body that arrives in parts."""
    left = list(parts)

    async def receive() -> Mapping[str, Any]:
        part = left.pop(0)
        if isinstance(part, Exception):
            raise part
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    return asyncio.run(read_body({"headers": list(headers)}, receive, LIMIT))


def test_body_is_read_whole() -> None:
    """It does not matter in how many parts it arrives."""
    assert read(b"") == Body(b"")
    assert read(b"a" * LIMIT) == Body(b"a" * LIMIT)
    assert read(*[b"ab"] * 500) == Body(b"ab" * 500)


@pytest.mark.parametrize("parts", [[b"a" * 1001], [b"a" * 999, b"bb"], [b"a" * 600] * 3])
def test_large_body_is_not_read_on(parts: list[bytes]) -> None:
    """Its reading ends where it is too large."""
    body = read(*parts)
    assert (body.data, type(body.failure)) == (b"", BodyTooLargeError)


def test_body_that_declares_too_much_is_not_read() -> None:
    """Its length is enough."""
    body = read(headers=[(b"content-length", b"1001")])
    assert isinstance(body.failure, BodyTooLargeError)


def test_broken_body_says_why() -> None:
    """What the protocol raises is kept for the application."""
    failure = TimeoutError("slow")
    assert read(failure).failure is failure
    assert read(b"ab", failure) == Body(b"", failure)


def test_unfinished_bodies_have_a_common_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many clients with half a body cannot fill the memory; what is read no longer counts."""
    monkeypatch.setattr(flask_bridge, "MAX_UNFINISHED", 10)
    assert isinstance(read(b"a" * 11, b"b").failure, TooManyBodiesError)
    for _ in range(3):
        assert read(b"a" * 5, b"b" * 5) == Body(b"a" * 5 + b"b" * 5)


def application() -> Flask:
    """An application that answers with the request that it got."""
    app = Flask(__name__)

    @app.post("/echo")
    def echo() -> Response:
        environ = {name: str(value) for name, value in request.environ.items()}
        return Response(json.dumps({"environ": environ, "body": read_json(request, LIMIT)}))

    @app.get("/empty")
    def empty() -> Response:
        return Response(status=204)

    def problem(error: Exception) -> Problem:
        assert isinstance(error, RequestRefused)
        return Problem(http_kind(error.status, error.code), error.detail, error.headers)

    answer_errors(app, problem)
    return app


@pytest.fixture(scope="module")
def bridge() -> FlaskBridge:
    return FlaskBridge(application(), threads=2, max_body=lambda _: LIMIT)


def test_request_reaches_the_application_whole(bridge: FlaskBridge) -> None:
    """Path, query, headers, body and addresses are those of the request."""
    headers = [
        ("X-A", "1"),
        ("X-A", "2"),
        ("X_Token", "forged"),
        ("X-Token", "true"),
        ("Content-Type", "application/json"),
        ("Transfer-Encoding", "chunked"),
    ]
    answer = asyncio.run(ask(bridge, "POST", "/echo?a=%20b", b'{"a": 1}', headers)).json()
    environ = answer["environ"]
    assert answer["body"] == {"a": 1}
    assert environ["PATH_INFO"] == "/echo"
    assert environ["QUERY_STRING"] == "a=%20b"
    assert environ["HTTP_X_A"] == "1,2"
    assert environ["HTTP_X_TOKEN"] == "true"
    assert environ["CONTENT_TYPE"] == "application/json"
    assert environ["CONTENT_LENGTH"] == "8"
    assert "HTTP_TRANSFER_ENCODING" not in environ
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert float(environ[WAITED]) < 60


def test_answer_without_a_body_has_no_length(bridge: FlaskBridge) -> None:
    """HTTP forbids it."""
    answer = asyncio.run(ask(bridge, "GET", "/empty"))
    assert (answer.status, answer.body) == (204, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (TimeoutError(), 408, "body_too_slow"),
        (ConnectionError(), 400, "incomplete_body"),
        (BodyTooLargeError(), 413, "body_too_large"),
        (TooManyBodiesError(), 503, "overloaded"),
    ],
)
def test_broken_body_is_a_problem(
    bridge: FlaskBridge, failure: OSError, status: int, code: str
) -> None:
    """The application writes the error that fits."""

    async def answer_with(scope: Any, _: Any, send: Any) -> None:
        await bridge.answer(scope, Body(b"", failure), send)

    headers = [("Transfer-Encoding", "chunked")]
    answer = asyncio.run(ask(answer_with, "POST", "/echo", b"", headers))
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)
