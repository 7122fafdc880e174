"""The short way through the server: plain predictions are answered without Flask.

Every other request goes to the Flask application with its body, so that one place writes all
errors.
"""

import asyncio
import math
import time
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mlstack.deployment.predictor import ModelSource, Predictor
from mlstack.web.flask_bridge import Body, FlaskBridge, Receive, Scope, Send, read_body
from mlstack.web.problems import Problem
from server import logs
from server.explainer import asked_for
from server.metrics import Metrics
from server.prediction_ids import PredictionIds
from server.routes import MAX_WAIT, max_body
from server.turns import Question, Turns

_BATCH = "/predict/batch"
_ROUTES = ("/predict", _BATCH)
_JSON = {
    b"application/json" + charset
    for charset in (
        b"",
        b"; charset=utf-8",
        b"; charset=UTF-8",
        b";charset=utf-8",
        b";charset=UTF-8",
    )
}
# Headers that matter here. If one is sent twice, Flask decides what that means.
_READ = {b"content-type", b"content-encoding", b"idempotency-key", b"x-request-id"}

# A longer body keeps the event loop busy for longer than single requests may wait.
_MOST_BYTES_IN_LOOP = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Head:
    """What the head of a plain request says."""

    route: str
    idempotency_key: str | None
    request_id: str


class FastPath:
    """The HTTP server's ASGI application.

    Args:
        flask: Takes every request that is not a plain prediction, and those that are refused.
        models: The model in use.
        metrics: Counts what is answered here.
    """

    def __init__(self, flask: FlaskBridge, models: ModelSource, metrics: Metrics) -> None:
        self._flask, self._models, self._metrics = flask, models, metrics
        self._turns = Turns(metrics)
        # One thread: batches must leave time for single requests.
        self._batches = ThreadPoolExecutor(1, thread_name_prefix="batches")
        # One explanation at a time: they must leave time for plain predictions.
        self._explaining = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["method"] != "POST":
            await self._flask(scope, receive, send)
            return
        body = await read_body(scope, receive, max_body(scope["path"], self._models.predictor))
        begun = time.perf_counter()
        if _asks_for_explanation(scope):
            await self._explain(scope, body, send, begun)
            return
        head = _read_head(scope)
        if head is None:
            await self._ask_flask(scope, body, send, begun)
            return
        answer = None if body.failure else await self._predict(head, body.data, begun)
        if answer is None:
            await self._ask_flask(scope, body, self._watch(send), begun)
            return
        await send(_start(head.request_id, len(answer)))
        await send({"type": "http.response.body", "body": answer})
        logs.request(head.request_id, "POST", head.route, 200, time.perf_counter() - begun)

    async def _ask_flask(self, scope: Scope, body: Body, send: Send, begun: float) -> None:
        """Let Flask answer a request that is not plain.

        A thread would compete with the event loop for the interpreter, and a flood of bad requests
        would delay the good ones. So the loop answers small ones itself, between turns.
        """
        if len(body.data) > _MOST_BYTES_IN_LOOP:
            await self._flask.answer(scope, body, send, time.perf_counter() - begun)
            return
        async with self._turns.between():
            messages = self._flask.ask_now(scope, body, time.perf_counter() - begun)
        for message in messages:
            await send(message)

    async def _explain(self, scope: Scope, body: Body, send: Send, begun: float) -> None:
        """Let Flask answer in this request's turn, or refuse it if the turn comes too late."""
        try:
            async with asyncio.timeout(MAX_WAIT):
                await self._explaining.acquire()
        except TimeoutError:
            await self._flask.answer(scope, body, send, waited=math.inf)
            return
        try:
            messages = await self._flask.ask(scope, body, time.perf_counter() - begun)
        finally:
            self._explaining.release()
        for message in messages:
            await send(message)

    async def _predict(self, head: _Head, body: bytes, begun: float) -> bytes | None:
        predictor = self._models.predictor
        if predictor is None:
            return None
        if len(body) > _MOST_BYTES_IN_LOOP:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(
                self._batches, self._predict_now, predictor, head, body, begun
            )
        question = _ask(predictor, head, body, begun)
        if question is None:
            return None
        await self._turns.answer(question)
        return question.answer

    def _predict_now(
        self, predictor: Predictor, head: _Head, body: bytes, begun: float
    ) -> bytes | None:
        question = _ask(predictor, head, body, begun)
        if question is None:
            return None
        self._turns.answer_now([question])
        return question.answer

    def _watch(self, send: Send) -> Send:
        """Count a plain request that Flask answered: the fast path should have taken it."""

        async def watched(message: MutableMapping[str, Any]) -> None:
            if message.get("status") == HTTPStatus.OK:
                self._metrics.answered_by_flask()
            await send(message)

        return watched


def _asks_for_explanation(scope: Scope) -> bool:
    return scope["path"] in _ROUTES and bool(asked_for(scope["query_string"].decode("latin-1")))


def _read_head(scope: Scope) -> _Head | None:
    """Read the head of a plain POST; None if Flask has to look at the request."""
    if scope["path"] not in _ROUTES:
        return None
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in _READ:
            if name in found:
                return None
            found[name] = value
    if b"content-encoding" in found or found.get(b"content-type") not in _JSON:
        return None
    key = found.get(b"idempotency-key")
    given = found.get(b"x-request-id", b"").decode("latin-1")
    return _Head(
        scope["path"], None if key is None else key.decode("latin-1"), logs.request_id(given)
    )


def _ask(predictor: Predictor, head: _Head, body: bytes, begun: float) -> Question | None:
    """Decode a body; None if Flask has to look at it."""
    is_batch = head.route == _BATCH
    customers = predictor.decode_batch(body) if is_batch else predictor.decode(body)
    if customers is None:
        return None
    try:
        ids = PredictionIds(head.idempotency_key)
    except Problem:
        return None
    run_id = predictor.model.run_id
    made = ids.batch(customers, run_id) if is_batch else [ids.one(customers[0], run_id)]
    return Question(head.route, is_batch, predictor, customers, made, begun)


def _start(request_id: str, length: int) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % length),
            (b"x-request-id", request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ],
    }
