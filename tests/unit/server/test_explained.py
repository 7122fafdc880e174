"""Explained predictions: kept like any other, one at a time, or refused clearly."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from mlstack.contract import Contract
from mlstack.deployment.predictor import Predictor
from mlstack.model.contributions import Contributor
from mlstack.web.flask_bridge import FlaskBridge
from server.explainer import Explainer, NotExplained
from server.fast_path import FastPath
from server.metrics import Metrics
from server.routes import max_body
from tests.support.api import MemoryLog, ServedModel, application, predictor
from tests.support.api_server import Answer
from tests.support.asgi import ask
from tests.support.bad_requests import JSON
from tests.support.target_kinds import KINDS, small_model


class Server:
    """The whole application; what XGBoost calculates is calculated in this process."""

    def __init__(self, contract: Contract, predictor: Predictor, log: MemoryLog) -> None:
        self.contract, self.log, self.metrics = contract, log, Metrics()
        served = ServedModel(predictor)
        flask = application(served, contract, self.metrics, log)
        self.app = FastPath(FlaskBridge(flask, 4, max_body), served, self.metrics)
        self.body = json.dumps(contract.example).encode()

    def send(self, path: str, **headers: str) -> Answer:
        return asyncio.run(self.ask(path, **headers))

    async def ask(self, path: str, **headers: str) -> Answer:
        given = [(name.replace("_", "-"), text) for name, text in headers.items()]
        return await ask(self.app, "POST", path, self.body, [JSON, *given])


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def calculate(_: Explainer, question: tuple[str, str, Any]) -> Any:
        folder, run_id, matrix = question
        return Contributor(Path(folder), run_id)(matrix)

    monkeypatch.setattr(Explainer, "_ask", calculate)


@pytest.fixture
def server(tmp_path: Path, documented: Contract) -> Server:
    log = MemoryLog()
    return Server(documented, predictor(tmp_path / "model", documented, kept=log), log)


def test_explained_prediction_is_kept_like_a_plain_one(server: Server) -> None:
    """It has the same id for the same key, the same answer, and nothing more is kept."""
    plain = server.send("/predict", Idempotency_Key="k")
    explained = server.send("/predict?explain=1", Idempotency_Key="k")
    answer = explained.json()
    why = answer.pop("explanation")
    assert answer == plain.json()
    assert list(why["contributions"]) == list(server.contract.feature_names)
    total = why["base"] + sum(why["contributions"].values())
    assert total == pytest.approx(why["margin"], abs=1e-5)
    first, second = (each.document() | {"created_at": None} for each in server.log.predictions)
    assert first == second
    text = server.metrics.render().decode()
    assert 'mlstack_predictions_total{model_run_id="' in text
    assert "answered_by_flask_total 0.0" in text


@pytest.mark.parametrize("query", ["a=1", "explained=1", "Explain=1", "%ff", "=1"])
def test_other_parameters_change_nothing(server: Server, query: str) -> None:
    """They are ignored, and the fast path still answers."""
    answer = server.send(f"/predict?{query}")
    assert answer.status == 200
    assert "explanation" not in answer.json()
    assert "answered_by_flask_total 0.0" in server.metrics.render().decode()


@pytest.mark.parametrize("kind", KINDS)
def test_explanation_fits_the_published_schema(tmp_path: Path, kind: str) -> None:
    """For each kind of target; the schema says what the margin is."""
    log, model = MemoryLog(), small_model(tmp_path, kind)
    contract = model.contract
    server = Server(contract, Predictor(model, log), log)
    answer = server.send("/predict?explain=1").json()
    document = asyncio.run(ask(server.app, "GET", "/openapi.json")).json()
    schema = document["components"]["schemas"]["Prediction"]
    jsonschema_rs.validate(schema, answer)
    jsonschema_rs.validate(schema["properties"]["explanation"], answer["explanation"])
    assert contract.target.margin_meaning in schema["properties"]["explanation"]["description"]
    if kind == "multiclass":
        assert answer["explanation"]["class"] == answer["forecast"]


def test_failed_explanation_keeps_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller may send the request again, with or without the parameter."""

    def fail(*_: object) -> None:
        raise NotExplained("it has ended")

    monkeypatch.setattr(Explainer, "_ask", fail)
    answer = server.send("/predict?explain=1")
    assert (answer.status, answer.json()["code"]) == (503, "not_explained")
    assert int(answer.headers["retry-after"]) > 0
    assert server.log.predictions == []
    assert server.send("/predict").status == 200


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """An explanation that is made only once this event is set."""
    event, calculate = threading.Event(), Explainer._ask

    def wait(explainer: Explainer, question: Any) -> Any:
        assert event.wait(30)
        return calculate(explainer, question)

    monkeypatch.setattr(Explainer, "_ask", wait)
    yield event
    event.set()


def test_explanations_wait_and_plain_requests_do_not(
    server: Server, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits too long is refused; plain ones are answered all the while."""
    monkeypatch.setattr("server.fast_path.MAX_WAIT", 0.1)

    async def meanwhile() -> tuple[list[Answer], list[Answer]]:
        first = asyncio.ensure_future(server.ask("/predict?explain=1"))
        refused = await asyncio.gather(*(server.ask("/predict?explain=1") for _ in range(20)))
        plain = [await server.ask("/predict") for _ in range(5)]
        assert not first.done()
        held.set()
        return [await first, *plain], list(refused)

    answered, refused = asyncio.run(meanwhile())
    assert [answer.status for answer in answered] == [200] * 6
    assert {(answer.status, answer.json()["code"]) for answer in refused} == {(503, "overloaded")}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert len(server.log.predictions) == 6
