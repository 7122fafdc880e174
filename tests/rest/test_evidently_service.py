"""The monitoring service: real process, real MongoDB, rows as the servers send them."""

import contextlib
import json
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.record import DeploymentState
from mlstack.model.model import Model
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.quality.drift_history import HistoryStore
from mlstack.settings import ROOT
from tests.support.api_server import ApiServer, MonitorService
from tests.support.customers import contract_named, customers, with_outcomes
from tests.support.keeper import LogKeeper
from tests.support.models import keep_model, predictions
from tests.support.mongo import MongoServer
from tests.support.ports import free_port
from tests.support.references import QUALITY, keep_reference
from tests.support.server_environment import server_environment
from tests.support.waiting import wait_until as wait_until_within

RUN_ID, OTHER_RUN_ID = "a" * 32, "b" * 32
STORED = 400
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
# Dashboards and alerts use these names.
DESIGNED = {
    *(f"evidently:data_drift:{name}" for name in ("share_drifted_features", "dataset_drift")),
    *(f"evidently:data_drift:{name}" for name in ("n_drifted_features", "score", "threshold")),
    *("evidently:data_drift:drifted", "evidently:window_rows"),
    *("evidently:prediction_drift:score", "evidently:prediction_drift:drifted"),
    *(
        f"evidently:{kind}:{name}"
        for kind in ("quality", "estimated_quality")
        for name in ("rmse", "logloss", "auc", "calibration_error", "coverage")
    ),
    *("evidently:calculation_age_seconds", "evidently:rows_refused_total"),
}


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def business(contract: Contract) -> "Business":
    return Business(contract)


class Business:
    """Predictions of a model, as the servers send and store them."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._generator = CustomerGenerator(contract, seed=4)

    def draw(self, count: int, drift: str = "") -> list[Customer]:
        drawn = self._generator.draw(count)
        if drift:
            path = drifts_path(ROOT / f"contracts/{self.contract.name}.yaml")
            found = load_drift(self.contract, path, drift)
            drawn = DriftingCustomers(self.contract, found, seed=1).apply(drawn)
        return drawn

    def rows(self, model: Model, drawn: Sequence[Customer], **more: Any) -> list[dict[str, Any]]:
        return [
            {
                **customer,
                "prediction": chance,
                "prediction_id": str(uuid.uuid4()),
                "model_run_id": model.run_id,
                **more,
            }
            for customer, chance in zip(drawn, predictions(model, drawn), strict=True)
        ]

    def store(self, uri: str, rows: Sequence[dict[str, Any]]) -> None:
        now = datetime.now(UTC) - timedelta(hours=1)
        sink = MongoSink(uri)
        sink.prepare()
        sink.store_predictions(
            [
                {
                    "_id": row["prediction_id"],
                    **{name: row[name] for name in self.contract.feature_names},
                    "prediction": row["prediction"],
                    "model_run_id": row["model_run_id"],
                    "contract": {"name": self.contract.name, "hash": self.contract.digest},
                    "source": "api",
                    "created_at": (now + timedelta(milliseconds=number)).isoformat(),
                }
                for number, row in enumerate(rows)
            ]
        )
        sink.close()

    def tell_outcomes(self, uri: str, rows: Sequence[dict[str, Any]]) -> None:
        now = datetime.now(UTC).isoformat()
        sink = MongoSink(uri)
        sink.store_outcomes(
            [
                {"_id": row["prediction_id"], "target": number % 5 // 4, "target_at": now}
                for number, row in enumerate(rows)
            ]
        )
        sink.close()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait; the service imports Evidently first, which takes long on a busy machine."""
    wait_until_within(condition, what, 120)


def _state(folder: Path, contract: Contract) -> dict[str, Model]:
    """Store two models with their references, neither deployed."""
    models = {}
    for seed, run_id in enumerate((RUN_ID, OTHER_RUN_ID)):
        models[run_id] = Model.load(keep_model(folder, run_id, contract, seed), run_id)
        keep_reference(folder, run_id, contract, with_outcomes(customers(contract, 2000 + seed)))
    return models


def _service(state: Path, **settings: str) -> MonitorService:
    return MonitorService(state, MONITOR_PERIOD_SECONDS="0.3", **settings)


def test_unusable_mongo_uri_is_a_sentence(tmp_path: Path) -> None:
    """An address that can never work ends the service, and says which setting is wrong."""
    command = ["-c", "monitoring/evidently_service/gunicorn_conf.py"]
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", *command, "monitoring.evidently_service.app:app"],
        cwd=ROOT,
        env=server_environment(
            tmp_path, MONGO_URI="mongodb://127.0.0.1:port", EVIDENTLY_PORT=str(free_port())
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("MONGO_URI cannot be used: ")


def test_exposed_service_needs_the_token(
    business: Business, contract: Contract, tmp_path: Path
) -> None:
    """Beyond this machine rows are taken only with the token."""
    model = _state(tmp_path / "state", contract)[RUN_ID]
    token = tmp_path / "token"
    token.write_text("opensesame\n")
    exposed = {"PUBLIC_HOST": "ml.example.org", "FEEDBACK_TOKEN_FILE": str(token)}
    path, rows = f"/iterate/{contract.name}", business.rows(model, business.draw(2))
    with _service(tmp_path / "state", **exposed) as service:
        assert (service.post(path, rows).status, service.metric("evidently:rows_total")) == (401, 0)
        for given, status in (("Bearer wrong", 401), ("Bearer opensesame", 200)):
            headers = [("Content-Type", "application/json"), ("Authorization", given)]
            answer = service.request("POST", path, json.dumps(rows), headers)
            assert answer.status == status
        assert service.request("GET", "/monitoring").status == 200


def test_restart_does_not_empty_the_window(
    contract: Contract, business: Business, tmp_path: Path, mongo: str
) -> None:
    """Another worker reads the window back."""
    model = _state(tmp_path / "state", contract)[RUN_ID]
    DeploymentState(tmp_path / "state").write_record(RUN_ID, "test")
    rows = business.rows(model, business.draw(400, "limits_are_cut"))
    with _service(tmp_path / "state", MONGO_URI=mongo) as service:
        service.post(f"/iterate/{contract.name}", rows)
        business.store(mongo, rows)
        wait_until(lambda: service.metric("evidently:data_drift:dataset_drift") == 1, "drift")
        service.kill_worker()
        wait_until(lambda: service.metric("evidently:rows_total") == 0, "another worker counts")
        wait_until(lambda: service.metric("evidently:window_rows") == 400, "the window is back")
        wait_until(lambda: service.metric("evidently:data_drift:dataset_drift") == 1, "drift")
        # Servers may send again what was read back.
        service.post(f"/iterate/{contract.name}", rows[-10:])
        assert service.metric("evidently:window_rows") == 400


def test_reference_follows_the_deployment(
    contract: Contract, business: Business, tmp_path: Path, mongo: str
) -> None:
    """What is missing is said, and recovers by itself."""
    models = _state(tmp_path / "state", contract)
    deployment = DeploymentState(tmp_path / "state")
    with _service(tmp_path / "state", MONGO_URI=mongo) as service:

        def word() -> str:
            return str(service.request("GET", "/health/ready").json()["detail"])

        wait_until(lambda: "no model is deployed" in word(), "it says that there is no model")
        deployment.write_record(RUN_ID, "test")
        wait_until(lambda: "0 of 100 rows" in word(), "it says what it waits for")
        service.post(f"/iterate/{contract.name}", business.rows(models[RUN_ID], business.draw(200)))
        wait_until(lambda: service.metric("evidently:prediction:bucket", le="1.0") == 200, "rows")

        deployment.write_record(OTHER_RUN_ID, "test")
        wait_until(
            lambda: service.metric("evidently:reference_rows", model_run_id=OTHER_RUN_ID) == 2001,
            "the reference is another one",
        )
        # Features belong to all models; predictions of another model say nothing about this one.
        wait_until(lambda: "no drift in 200 rows" in word(), "features are compared")
        assert "evidently:prediction_drift:score" not in _families(service)
        rows = business.rows(models[OTHER_RUN_ID], business.draw(50))
        service.post(f"/iterate/{contract.name}", rows)
        wait_until(
            lambda: "evidently:prediction_drift:score" in _families(service), "its own are compared"
        )

        unknown = "c" * 32
        keep_model(tmp_path / "state", unknown, contract, seed=3)
        deployment.write_record(unknown, "test")
        wait_until(lambda: service.metric("evidently:calculation_failures_total") >= 2, "failures")
        # Not while it tries again: then the page says that the training rows are being loaded.
        wait_until(
            lambda: (
                "no MLflow server is configured"
                in service.request("GET", "/monitoring").body.decode()
            ),
            "the page says why",
        )
        assert "no MLflow server is configured" in service.log.read_text()
        age = service.metric("evidently:calculation_age_seconds")
        wait_until(
            lambda: service.metric("evidently:calculation_age_seconds") > age + 0.5, "it ages"
        )
        assert "evidently:data_drift:score" not in _families(service)
        keep_reference(
            tmp_path / "state", unknown, contract, with_outcomes(customers(contract, 500))
        )
        wait_until(lambda: "no drift in 250 rows" in word(), "it recovers by itself")


def test_monitoring_survives_a_missing_mongodb(
    contract: Contract, business: Business, tmp_path: Path
) -> None:
    """Outcomes come once MongoDB is there, and the history is stored then."""
    model = _state(tmp_path / "state", contract)[RUN_ID]
    DeploymentState(tmp_path / "state").write_record(RUN_ID, "test")
    mongo = MongoServer(tmp_path / "mongo")
    rows = business.rows(model, business.draw(200))
    with _service(tmp_path / "state", MONGO_URI=mongo.uri) as service:
        service.post(f"/iterate/{contract.name}", rows)
        wait_until(lambda: service.metric("evidently:prediction:bucket", le="1.0") == 200, "rows")
        wait_until(lambda: service.metric("evidently:outcomes_reachable") == 0, "MongoDB is missed")
        page = service.request("GET", "/monitoring").body.decode()
        assert "MongoDB does not answer. The time before" in page
        assert "1 moment waits in memory" in page
        with mongo, closing(HistoryStore(mongo.uri, contract.name, 5)) as history:
            business.store(mongo.uri, rows)
            business.tell_outcomes(mongo.uri, rows[:100])
            wait_until(lambda: service.metric("evidently:quality:coverage") == 0.5, "outcomes")
            assert service.metric("evidently:outcomes_reachable") == 1
            wait_until(lambda: bool(history.load(NOON)), "the history")


def test_prediction_and_feedback_reach_the_metrics(
    contract: Contract, business: Business, tmp_path: Path, mongo: str
) -> None:
    """Server, prediction log, monitoring service and MongoDB together."""
    _state(tmp_path / "state", contract)
    DeploymentState(tmp_path / "state").write_record(RUN_ID, "test")
    with _service(tmp_path / "state", MONGO_URI=mongo) as service:
        settings = {"MONGO_URI": mongo, "MONITOR_URL": f"http://127.0.0.1:{service.port}"}
        with (
            ApiServer(tmp_path / "state", API_WORKERS="1") as server,
            LogKeeper(tmp_path / "state", **settings) as keeper,
        ):
            answers = server.post("/predict/batch", business.draw(150)).json()
            wait_until(
                lambda: service.metric("evidently:prediction:bucket", le="1.0") == 150, "all"
            )
            outcomes = [
                {"prediction_id": answer["prediction_id"], contract.target.name: number % 3 == 0}
                for number, answer in enumerate(answers[:75])
            ]
            assert server.post("/feedback", outcomes).status == 202
            wait_until(lambda: service.metric("evidently:quality:coverage") == 0.5, "outcomes")
            assert service.metric("evidently:window_rows") == 150
            assert service.metric("evidently:rows_refused_total") == 0
            assert keeper.metric("mlstack_log_stored_total", sink="monitor") == 150


class Watching:
    """A service that has a model, and whose MongoDB has predictions from before its start."""

    def __init__(self, service: MonitorService, mongo: str, model: Model, state: Path) -> None:
        self.service, self.mongo, self.model, self.state = service, mongo, model, state


@pytest.fixture(scope="module")
def watching(
    contract: Contract, business: Business, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watching]:
    folder = tmp_path_factory.mktemp("monitor")
    model = _state(folder / "state", contract)[RUN_ID]
    DeploymentState(folder / "state").write_record(RUN_ID, "test")
    with MongoServer(folder / "mongo") as mongo:
        stored = business.rows(model, business.draw(STORED))
        business.store(mongo.uri, stored)
        business.tell_outcomes(mongo.uri, stored[: STORED // 2])
        with _service(folder / "state", MONGO_URI=mongo.uri) as service:
            yield Watching(service, mongo.uri, model, folder / "state")


def test_window_starts_with_stored_predictions(watching: Watching, contract: Contract) -> None:
    """Predictions from before the start are in it, with their outcomes."""
    service = watching.service
    wait_until(lambda: service.metric("evidently:quality:coverage") == 0.5, "half have outcomes")
    assert service.metric("evidently:window_rows") == STORED
    assert service.metric("evidently:data_drift:dataset_drift") == 0
    assert service.metric("evidently:estimated_quality:coverage") == 1
    assert service.metric("evidently:reference_quality:rmse") == QUALITY["rmse"]
    assert service.metric("evidently:reference_rows", model_run_id=RUN_ID) == 2000
    text = service.request("GET", "/metrics").body.decode()
    assert set(re.findall(r"^([\w:]+)\{", text, re.MULTILINE)) >= DESIGNED
    for feature in contract.feature_names:
        assert (
            f'evidently:data_drift:score{{dataset="{contract.name}",feature="{feature}"}}' in text
        )
    assert service.metric("evidently:prediction:bucket", le="+Inf") == STORED


def test_rows_that_do_not_fit_are_refused_and_counted(
    watching: Watching, business: Business, contract: Contract
) -> None:
    """The others of the same request are taken."""
    service = watching.service
    good, bad = business.rows(watching.model, business.draw(2))
    before = service.metric("evidently:rows_refused_total")
    answer = service.post(f"/iterate/{contract.name}", [good, {**bad, "customer_age": 7}])
    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["accepted"], problem["refused"]) == (1, 1)
    assert problem["errors"][0]["pointer"] == "/1/customer_age"
    assert "18 to 120" in problem["errors"][0]["detail"]
    assert service.metric("evidently:rows_refused_total") == before + 1


def test_repeated_row_is_counted_once(
    watching: Watching, business: Business, contract: Contract
) -> None:
    """Servers may send a row again."""
    service = watching.service
    rows = business.rows(watching.model, business.draw(5))
    before = service.metric("evidently:rows_total")
    for _ in range(3):
        assert service.post(f"/iterate/{contract.name}", rows).json()["accepted"] == 5
    assert service.metric("evidently:rows_total") == before + 5


@pytest.mark.parametrize(
    ("path", "body", "media_type", "expected"),
    [
        ("churn", "[]", "application/json", (404, "unknown_dataset")),
        ("credit_card_churn", "[]", "text/csv", (415, "unsupported_content_type")),
        ("credit_card_churn", "[", "application/json", (400, "malformed_json")),
        ("credit_card_churn", "{}", "application/json", (422, "invalid_rows")),
    ],
)
def test_request_without_rows_is_told_why(
    watching: Watching, path: str, body: str, media_type: str, expected: tuple[int, str]
) -> None:
    """Data set, media type, JSON and rows are checked."""
    headers = [("Content-Type", media_type)]
    answer = watching.service.request("POST", f"/iterate/{path}", body, headers)
    assert (answer.status, answer.json()["code"]) == expected
    assert answer.json()["detail"]


def test_large_body_is_refused_before_it_is_read(watching: Watching) -> None:
    """Its length alone is enough."""
    head = (
        b"POST /iterate/credit_card_churn HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nContent-Length: 20000000\r\n\r\n"
    )
    with watching.service.connect() as connection:
        connection.sendall(head)
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "body",
    [
        b"2\r\n[]\r\n0\r\nno trailer\r\n\r\n",
        b"xyz\r\n[]\r\n0\r\n\r\n",
    ],
    ids=["trailers", "sizes"],
)
def test_malformed_chunks_are_a_400(watching: Watching, body: bytes) -> None:
    """A broken body is the client's fault."""
    head = (
        b"POST /iterate/credit_card_churn HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with watching.service.connect() as connection:
        connection.sendall(head + body)
        said = b"".join(iter(lambda: connection.recv(4096), b""))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b'"incomplete_body"' in said


def test_stalled_clients_do_not_stop_the_service(
    watching: Watching, business: Business, contract: Contract
) -> None:
    """More clients than threads stop in a body, in a head, or never say a word."""
    head = b"POST /iterate/credit_card_churn HTTP/1.1\r\nHost: x\r\n"
    body = head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n["
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(watching.service.connect(timeout=60)) for _ in range(18)]
        for i, connection in enumerate(stalled):
            connection.sendall((body, body, head, b"")[i % 4])
        rows = business.rows(watching.model, business.draw(1))
        assert watching.service.post(f"/iterate/{contract.name}", rows).status == 200
        assert stalled[0].recv(100).startswith(b"HTTP/1.1 4")


def test_other_paths_and_methods_are_refused(watching: Watching) -> None:
    """404 and 405, as HTTP has them."""
    assert watching.service.request("GET", "/nothing").status == 404
    answer = watching.service.request("GET", "/iterate/credit_card_churn")
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


def test_drift_shows_in_metrics_and_page(
    watching: Watching, business: Business, contract: Contract
) -> None:
    """Drifted features are named, the others are not."""
    service = watching.service
    drifted = business.rows(watching.model, business.draw(800, "incomes_rise"))
    service.post(f"/iterate/{contract.name}", drifted)
    wait_until(lambda: service.metric("evidently:data_drift:dataset_drift") == 1, "drift is told")
    assert service.metric("evidently:data_drift:drifted", feature="credit_limit") == 1
    assert service.metric("evidently:data_drift:drifted", feature="customer_age") == 0
    names = service.request("GET", "/health/ready").json()["detail"]
    assert "income_category" in names
    page = service.request("GET", "/monitoring")
    assert "Customers have drifted" in page.body.decode()
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_late_outcome_finds_its_row(
    watching: Watching, business: Business, contract: Contract
) -> None:
    """Quality follows as outcomes become known."""
    service = watching.service
    rows = business.rows(watching.model, business.draw(1000))
    business.store(watching.mongo, rows)
    service.post(f"/iterate/{contract.name}", rows)
    wait_until(lambda: service.metric("evidently:quality:coverage") == 0, "the window is new")
    business.tell_outcomes(watching.mongo, rows[:250])
    wait_until(lambda: service.metric("evidently:quality:coverage") == 0.25, "outcomes are joined")


def _families(service: MonitorService) -> set[str]:
    text = service.request("GET", "/metrics").body.decode()
    return set(re.findall(r"^([\w:]+)\{", text, re.MULTILINE))
