"""The fast path: it answers what Flask would answer, in one call and one transaction a turn."""

import asyncio
import json
import os
import random
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Histogram

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import CREATED_AT
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.predictor import MAX_BATCH, Predictor
from mlstack.prediction_log.prediction import Prediction
from mlstack.prediction_log.segment import SpoolError
from mlstack.web.flask_bridge import FlaskBridge
from server import metrics as metrics_module
from server.fast_path import FastPath
from server.metrics import Metrics
from server.routes import max_body
from tests.support.api import MemoryLog, ServedModel, application, predictor
from tests.support.api_server import Answer
from tests.support.asgi import ask
from tests.support.bad_requests import JSON, bad_requests
from tests.support.customer_bodies import any_batch, any_body, valid_customers
from tests.support.metrics import sample_sum

BY_FLASK = "mlstack_http_plain_requests_answered_by_flask_total"


# BOTH_WAYS_REQUESTS=50000 for a campaign of ten minutes.
REQUESTS = int(os.environ.get("BOTH_WAYS_REQUESTS", "250"))
_CHANGING = {"x-request-id", "content-length"}
ODD_HEADERS: list[list[list[tuple[str, str]]]] = [
    [
        *([[JSON]] * 12),
        [("Content-Type", "application/json; charset=utf-8")],
        [("Content-Type", 'Application/JSON;charset="UTF-8"')],
        [("Content-Type", "application/json; charset=latin-1")],
        [("Content-Type", "text/plain")],
        [JSON, ("Content-Type", "text/plain")],
        [],
    ],
    [
        *([[]] * 8),
        [("Idempotency-Key", "once")],
        [("Idempotency-Key", "")],
        [("Idempotency-Key", "not visible ")],
        [("Idempotency-Key", "once"), ("Idempotency-Key", "twice")],
        [("Idempotency_Key", "is another header")],
    ],
    [
        *([[]] * 8),
        [("Content-Encoding", "identity")],
        [("Content-Encoding", "gzip")],
        [("Content_Encoding", "gzip")],
        [("X-Request-Id", "r1")],
        [("X-Request-Id", "r1"), ("X-Request-Id", "r2")],
        [("X-Request-Id", "not an id")],
    ],
]
"""One of each list is sent."""


class CountingLog(MemoryLog):
    """A log that knows how many transactions it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.transactions = 0

    def keep(self, predictions: Sequence[Prediction]) -> None:
        self.transactions += 1
        super().keep(predictions)


class BothWays:
    """A contract's model, served with and without the fast path."""

    def __init__(self, folder: Path, contract: Contract) -> None:
        self.contract, self.log, self.metrics = contract, CountingLog(), Metrics()
        self.served = ServedModel(predictor(folder, contract, kept=self.log))
        flask = application(self.served, contract, self.metrics, self.log)
        self.flask = FlaskBridge(flask, threads=2, max_body=max_body)
        self.fast = FastPath(self.flask, self.served, self.metrics)

    def ask(self, path: str, body: bytes, *headers: tuple[str, str]) -> Answer:
        return asyncio.run(ask(self.fast, "POST", path, body, (JSON, *headers)))

    def compare(self, path: str, body: bytes, *headers: tuple[str, str]) -> tuple[Answer, Answer]:
        """Send a request both ways."""

        async def both() -> tuple[Answer, Answer]:
            return (
                await ask(self.fast, "POST", path, body, headers),
                await ask(self.flask, "POST", path, body, headers),
            )

        return asyncio.run(both())

    def metric(self, name: str, **labels: str) -> float:
        return sample_sum(self.metrics.render().decode(), name, **labels)


@pytest.fixture
def ways(tmp_path: Path, contract: Contract) -> BothWays:
    return BothWays(tmp_path / "model", contract)


def test_valid_requests_get_the_same_answer_both_ways(ways: BothWays) -> None:
    """Answers are equal byte for byte, with the same headers, and Flask was not needed."""
    customers = CustomerGenerator(ways.contract, seed=4).draw(40)
    bodies = [("/predict", json.dumps(customer).encode()) for customer in customers]
    bodies += [("/predict/batch", json.dumps(customers[:n]).encode()) for n in (1, 2, 40)]
    bodies.append(("/predict/batch", json.dumps((customers * 25)[:MAX_BATCH]).encode()))
    for number, (path, body) in enumerate(bodies):
        headers = (JSON, ("Idempotency-Key", f"key {number}".replace(" ", "-")))
        fast, flask = ways.compare(path, body, *headers, ("X-Request-Id", "r1"))
        assert (fast.status, fast.body) == (flask.status, flask.body)
        assert fast.headers == flask.headers
    assert ways.metric(BY_FLASK) == 0
    kept = [prediction.document() | {CREATED_AT: None} for prediction in ways.log.predictions]
    single = len(customers) * 2
    assert kept[0:single:2] == kept[1:single:2]


def test_bad_requests_leave_time_for_good_ones(ways: BothWays) -> None:
    """However many wait, what Flask answers in the loop takes at most a quarter of its time."""
    good = json.dumps(CustomerGenerator(ways.contract, seed=6).draw(1)[0]).encode()
    work: list[tuple[float, float]] = []
    ask_now = ways.flask.ask_now

    def watched(*given: Any, **named: Any) -> list[dict[str, Any]]:
        begun = time.perf_counter()
        try:
            return ask_now(*given, **named)
        finally:
            work.append((begun, time.perf_counter()))

    ways.flask.ask_now = watched  # type: ignore[method-assign]

    async def flood() -> None:
        async with asyncio.TaskGroup() as group:
            bad = [
                group.create_task(ask(ways.fast, "POST", "/predict", b"{}", (JSON,)))
                for _ in range(12)
            ]
            while not all(each.done() for each in bad):
                assert (await ask(ways.fast, "POST", "/predict", good, (JSON,))).status == 200

    asyncio.run(flood())
    assert len(work) == 12
    # The first one came before any good request was answered.
    for (begun, ended), (next_begun, _) in pairwise(work[1:]):
        assert next_begun - ended >= 3 * (ended - begun)


@pytest.mark.parametrize("declared", ["application/json; charset=utf-8", "application/json"])
def test_requests_of_one_turn_share_a_transaction(ways: BothWays, declared: str) -> None:
    """What arrives together is kept together, and each request gets its own answer."""
    customers = CustomerGenerator(ways.contract, seed=5).draw(30)

    async def all_at_once() -> list[Answer]:
        headers = (("Content-Type", declared),)
        asked = [
            ask(ways.fast, "POST", "/predict", json.dumps(customer).encode(), headers)
            for customer in customers
        ]
        return list(await asyncio.gather(*asked))

    answers = [answer.json() for answer in asyncio.run(all_at_once())]
    assert ways.log.transactions == 1
    kept = {each.prediction_id: each for each in ways.log.predictions}
    for customer, answer in zip(customers, answers, strict=True):
        prediction = kept[answer["prediction_id"]]
        assert {k: v for k, v in prediction.customer.items() if v is not None} == {
            k: v for k, v in customer.items() if v is not None
        }
        assert answer[ways.contract.answer] == prediction.scored.prediction
    assert ways.metric("mlstack_http_requests_total", route="/predict", status="200") == 30
    assert ways.metric("mlstack_http_request_duration_seconds_count", status="200") == 30
    assert ways.metric("mlstack_predictions_total", source="api") == 30


def test_bad_requests_get_the_same_answer_both_ways(ways: BothWays) -> None:
    """Flask writes every error, with and without the fast path in front of it."""

    def told(answer: Answer) -> tuple[int, Any]:
        problem = json.loads(answer.body) if answer.body else {}
        return answer.status, {**problem, "request_id": None, "prediction_id": None}

    async def compare_all() -> list[str]:
        different = []
        for bad in bad_requests(ways.contract):
            request = (bad.method, bad.path, bad.body, bad.headers)
            fast, flask = await ask(ways.fast, *request), await ask(ways.flask, *request)
            if told(fast) != told(flask) or fast.status != bad.status:
                different.append(bad.name)
        return different

    assert asyncio.run(compare_all()) == []
    assert ways.log.predictions == []


def test_any_request_gets_the_same_answer_both_ways(ways: BothWays) -> None:
    """Whatever is sent, and with whatever headers, both ways say the same of it."""
    draws = random.Random(8)
    customers = valid_customers(ways.contract, 200, draws)

    def told(answer: Answer, *, own_id: bool) -> Any:
        document = json.loads(answer.body)
        changing = {"request_id"} if own_id else {"request_id", "prediction_id"}
        parts = document if isinstance(document, list) else [document]
        headers = {name: text for name, text in answer.headers.items() if name not in _CHANGING}
        return (
            answer.status,
            headers,
            [{name: part[name] for name in part if name not in changing} for part in parts],
        )

    async def compare_all() -> set[int]:
        statuses = set()
        for _ in range(REQUESTS):
            is_batch = draws.random() < 0.2
            body = (
                any_batch(customers, draws)
                if is_batch
                else any_body(draws.choice(customers), draws)
            )
            headers = [header for some in ODD_HEADERS for header in draws.choice(some)]
            request = ("POST", "/predict/batch" if is_batch else "/predict", body, headers)
            fast, flask = await ask(ways.fast, *request), await ask(ways.flask, *request)
            own_id = any(name == "Idempotency-Key" for name, _ in headers)
            assert told(fast, own_id=own_id) == told(flask, own_id=own_id), request
            statuses.add(fast.status)
        return statuses

    assert asyncio.run(compare_all()) >= {200, 400, 415, 422}
    assert ways.metric("mlstack_http_requests_total", status="500") == 0


def test_bad_requests_wait_for_plain_ones(ways: BothWays, monkeypatch: pytest.MonkeyPatch) -> None:
    """The turn that has begun is answered first."""
    good = json.dumps(ways.contract.example).encode()
    kept, answer = list[int](), ways.flask.ask_now

    def answering(*asked: Any) -> list[dict[str, Any]]:
        kept.append(len(ways.log.predictions))
        return answer(*asked)

    monkeypatch.setattr(ways.flask, "ask_now", answering)

    async def send() -> list[Answer]:
        bodies = (good, b"{}", good, b"{", good, b"[]")
        asked = (ask(ways.fast, "POST", "/predict", each, (JSON,)) for each in bodies)
        return list(await asyncio.gather(*asked))

    statuses = [each.status for each in asyncio.run(send())]
    assert statuses == [200, 422, 200, 400, 200, 422]
    assert kept == [3, 3, 3]


def test_valid_request_that_flask_answered_is_counted(
    ways: BothWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A valid request that the fast path does not take is answered, and shows in a metric."""
    monkeypatch.setattr(Predictor, "decode", lambda *_: None)
    assert ways.ask("/predict", json.dumps(ways.contract.example).encode()).status == 200
    assert ways.metric(BY_FLASK) == 1
    assert ways.ask("/predict", b"{}").status == 422
    assert ways.metric(BY_FLASK) == 1


def test_nothing_is_answered_that_cannot_be_kept(ways: BothWays) -> None:
    """If the spool cannot be written, every request of the turn gets 503."""
    ways.log.failure = SpoolError("the disk is full")
    body = json.dumps(ways.contract.example).encode()

    async def some() -> list[Answer]:
        return list(
            await asyncio.gather(
                *(ask(ways.fast, "POST", "/predict", body, (JSON,)) for _ in range(5))
            )
        )

    for answer in asyncio.run(some()):
        assert (answer.status, answer.json()["code"]) == (503, "not_kept")
        assert int(answer.headers["retry-after"]) > 0
    ways.log.failure = None
    assert ways.ask("/predict", body).status == 200


def test_one_customer_that_fails_harms_no_other(
    ways: BothWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If scoring a turn fails, its requests are answered one by one."""
    customers = CustomerGenerator(ways.contract, seed=6).draw(5)
    score, broken = Predictor.score, customers[2]

    def score_others(self: Predictor, asked: Any, *more: Any) -> Any:
        if any(customer.items() >= broken.items() for customer in asked):
            raise RuntimeError("this one cannot be scored")
        return score(self, asked, *more)

    monkeypatch.setattr(Predictor, "score", score_others)

    async def some() -> list[Answer]:
        bodies = [json.dumps(customer).encode() for customer in customers]
        return list(
            await asyncio.gather(
                *(ask(ways.fast, "POST", "/predict", body, (JSON,)) for body in bodies)
            )
        )

    assert [answer.status for answer in asyncio.run(some())] == [200, 200, 500, 200, 200]


def test_request_that_waited_too_long_is_refused(
    ways: BothWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Serving a request whose turn comes late would delay all later ones."""
    monkeypatch.setattr("server.turns.MAX_WAIT", -1.0)
    monkeypatch.setattr("server.routes.MAX_WAIT", -1.0)
    answer = ways.ask("/predict", json.dumps(ways.contract.example).encode())
    assert (answer.status, answer.json()["code"]) == (503, "overloaded")
    assert ways.log.predictions == []


def test_model_changes_between_two_requests_of_a_turn(tmp_path: Path, documented: Contract) -> None:
    """Each answer comes whole from the model that decoded it."""
    ways = BothWays(tmp_path / "a", documented)
    other = predictor(tmp_path / "b", documented, run_id="b" * 32, seed=2, kept=ways.log)
    body = json.dumps(documented.example).encode()

    async def around_a_swap() -> list[Answer]:
        first = asyncio.ensure_future(ask(ways.fast, "POST", "/predict", body, (JSON,)))
        await asyncio.sleep(0)  # it runs, and waits for its turn
        assert ways.fast._turns._waiting
        ways.served.predictor = other
        second = asyncio.ensure_future(ask(ways.fast, "POST", "/predict", body, (JSON,)))
        return list(await asyncio.gather(first, second))

    answers = [answer.json() for answer in asyncio.run(around_a_swap())]
    assert [answer["model_run_id"] for answer in answers] == ["a" * 32, "b" * 32]


def test_several_observations_count_like_single_ones() -> None:
    """Durations that are added at once give the histogram that they give one by one."""
    buckets, draws = metrics_module._BUCKETS, random.Random(1)
    values = [*buckets, *(draws.expovariate(50) for _ in range(200)), 0.0, 99.0]
    one, all_of_them = (
        Histogram("h", "h", buckets=buckets, registry=CollectorRegistry()) for _ in range(2)
    )
    for value in values:
        one.observe(value)
    metrics_module._observe(all_of_them, values)

    def samples(histogram: Histogram) -> dict[str, float]:
        (metric,) = histogram.collect()
        return {
            f"{sample.name}{sample.labels}": sample.value
            for sample in metric.samples
            if "created" not in sample.name
        }

    assert samples(one) == pytest.approx(samples(all_of_them))
