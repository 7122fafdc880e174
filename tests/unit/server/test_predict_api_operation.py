"""The HTTP server beside its predictions: health, errors, headers, form, metrics, token."""

import html
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from mlstack.contract import Contract
from mlstack.settings import ROOT, Settings
from mlstack.web.flask_bridge import WAITED
from server import problems
from server.metrics import Metrics
from server.routes import MAX_WAIT
from tests.support.api import RUN_ID, ServedModel, application, predictor, problem_code


class TestNotReady:
    @pytest.fixture
    def served(self) -> ServedModel:
        return ServedModel(None, "no model is deployed; run: make deploy RUN_ID=...")

    @pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
    def test_predictions_are_refused_with_the_reason(
        self, client: FlaskClient, example: dict[str, Any], path: str
    ) -> None:
        """Without a model, predictions are refused with the reason."""
        answer = client.post(path, json=example)
        assert (answer.status_code, problem_code(answer)) == (503, "not_ready")
        assert int(answer.headers["Retry-After"]) > 0
        assert "make deploy" in answer.get_json()["detail"]

    def test_health_tells_alive_from_ready(self, client: FlaskClient) -> None:
        """Without a model the server is alive but not ready."""
        assert client.get("/health/live").status_code == 200
        answer = client.get("/health/ready")
        assert (answer.status_code, problem_code(answer)) == (503, "not_ready")
        assert "make deploy" in answer.get_json()["detail"]

    def test_pages_and_metrics_are_served(self, client: FlaskClient, documented: Contract) -> None:
        """Without a model, pages, API description and metrics are served."""
        page = client.get("/").text
        assert "make deploy" in page
        assert documented.features[0].name in page
        for path in ("/docs", "/openapi.json", "/metrics"):
            assert client.get(path).status_code == 200

    def test_missing_contract_is_named(self, served: ServedModel, documented: Contract) -> None:
        """A contract that cannot be read is named as the reason."""
        missing = documented.model_copy(update={"name": "no_such_contract"})
        answer = application(served, missing).test_client().get("/")
        assert (answer.status_code, problem_code(answer)) == (503, "not_ready")
        assert answer.get_json()["detail"].startswith("contracts/no_such_contract.yaml: cannot")
        assert int(answer.headers["Retry-After"]) > 0

    @pytest.mark.parametrize("path", ["/health/ready", "/"])
    def test_answers_name_no_folder_of_the_server(
        self, client: FlaskClient, served: ServedModel, path: str
    ) -> None:
        """Reasons name files relative to the project."""
        kept = Path(".embedded/state/models") / RUN_ID / "model.ubj"
        served.reason = f"a file of the model is missing: '{ROOT / kept}'"
        told = html.unescape(client.get(path).text)
        assert f"is missing: '{kept}'" in told
        assert str(ROOT) not in told


def test_without_folders_removes_configured_folders(tmp_path: Path) -> None:
    """Folders that settings name are removed from sentences, other paths are not."""
    settings = Settings(contract=tmp_path / "mine.yaml", state_dir=tmp_path / "state")
    for told, known in (
        (f"{tmp_path}/mine.yaml, line 3: no", "mine.yaml, line 3: no"),
        (f"'{tmp_path}/state/models/x'", "'models/x'"),
        (f"{ROOT}/contracts/a.yaml and {ROOT}/b", "contracts/a.yaml and b"),
        (f"/other{ROOT}/b", f"/other{ROOT}/b"),
        ("http://127.0.0.1:5051/api", "http://127.0.0.1:5051/api"),
    ):
        assert problems.without_folders(told, settings) == known


def test_ready_names_the_model(client: FlaskClient) -> None:
    """A ready server names the run that it serves."""
    answer = client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.get_json() == {"status": "ready", "model_run_id": RUN_ID}


def test_request_that_waited_too_long_is_refused(
    client: FlaskClient, example: dict[str, Any]
) -> None:
    """A request that waited too long is refused; health checks never are."""
    waited = {WAITED: MAX_WAIT + 0.1}
    answer = client.post("/predict", json=example, environ_overrides=waited)
    assert (answer.status_code, problem_code(answer)) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0
    assert client.get("/health/live", environ_overrides=waited).status_code == 200


class TestRequestId:
    @pytest.mark.parametrize("given", ["a", "A-z_0.9", "x" * 64])
    def test_valid_id_is_kept(self, client: FlaskClient, given: str) -> None:
        """A valid X-Request-Id is used and answered."""
        answer = client.get("/health/live", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] == given

    @pytest.mark.parametrize("given", ["", "x" * 65, "a b", 'a"b', "a\tb", "é", "{}"])
    def test_invalid_id_is_replaced(self, client: FlaskClient, given: str) -> None:
        """An invalid X-Request-Id is replaced by a new one."""
        answer = client.get("/health/live", headers={"X-Request-Id": given})
        assert answer.headers["X-Request-Id"] != given
        assert len(answer.headers["X-Request-Id"]) == 32

    def test_id_is_logged(self, client: FlaskClient, request_lines: list[dict[str, Any]]) -> None:
        """Each request is logged with its id, route, status and time."""
        client.get('/no/such"path', headers={"X-Request-Id": "r1"})
        client.get("/health/live", headers={"X-Request-Id": "r2"})
        told = [(line["request_id"], line["route"], line["status"]) for line in request_lines]
        assert told == [("r1", "unmatched", 404), ("r2", "/health/live", 200)]
        assert all(line["ms"] >= 0 for line in request_lines)

    @pytest.fixture
    def request_lines(self) -> Iterator[list[dict[str, Any]]]:
        lines: list[dict[str, Any]] = []

        class Reader(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(json.loads("{" + record.getMessage() + "}"))

        logger, reader = logging.getLogger("server.access"), Reader()
        before = logger.level
        logger.addHandler(reader)
        logger.setLevel(logging.DEBUG)
        yield lines
        logger.removeHandler(reader)
        logger.setLevel(before)


def test_defect_is_logged_but_not_answered(
    client: FlaskClient,
    served: ServedModel,
    example: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect is answered with 500; only the log has its stack trace."""

    def break_down(*_: object) -> None:
        raise RuntimeError("something secret")

    monkeypatch.setattr(served.in_use.model, "score", break_down)
    answer = client.post("/predict", json=example, headers={"X-Request-Id": "r1"})
    assert (answer.status_code, problem_code(answer)) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "r1" in caplog.text
    assert "RuntimeError: something secret" in caplog.text


def test_answers_have_security_headers(
    client: FlaskClient,
) -> None:
    """No answer may be sniffed, and no page loads from other servers."""
    for path in ("/", "/docs", "/openapi.json", "/health/live", "/static/form.js", "/nowhere"):
        answer = client.get(path, buffered=True)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.mimetype == "text/html":
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "http" not in policy
            assert "http://" not in answer.text
            assert "https://" not in answer.text


def test_form_offers_features_with_examples(client: FlaskClient) -> None:
    """The form has an input for each feature, filled with its example."""
    page = client.get("/").text
    assert 'data-feature="customer_age" data-kind="integer"' in page
    assert '<input id="feature-customer_age" type="number"' in page
    assert '<option value="3" selected>Graduate</option>' in page
    assert '<option value="blue" selected>blue</option>' in page


def test_form_copes_with_any_feature_name(tmp_path: Path, documented: Contract) -> None:
    """Features may be named like properties of the form or ids of the page."""
    names = ("answer", "action", "customer", "dataset", "problem", "bar", "chance", "method")
    features = tuple(
        feature.model_copy(update={"name": name})
        for feature, name in zip(documented.features, names, strict=False)
    )
    contract = documented.model_copy(update={"features": features})
    served = predictor(tmp_path / "model", documented)
    served.model.contract = contract
    page = application(ServedModel(served), documented).test_client().get("/").text
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(set(ids)) == len(ids)
    assert set(re.findall(r'<label for="([^"]+)"', page)) == {f"feature-{name}" for name in names}
    assert "name=" not in page.partition("<form")[2]


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_page_has_relative_addresses(client: FlaskClient, path: str) -> None:
    """A proxy may serve all pages under a prefix."""
    page = client.get(path).text
    addresses = re.findall(r'\b(?:href|src|action)="([^"]*)"', page)
    assert addresses
    assert [address for address in addresses if address.startswith("/")] == []
    for address in addresses:
        target = address.partition("#")[0].removeprefix("./")
        if target != "predict":
            with client.get(f"/{target}") as answer:
                assert answer.status_code == 200, address


def test_api_description_is_at_home_under_any_prefix(client: FlaskClient) -> None:
    """Requests go to the folder that the description itself came from."""
    assert client.get("/openapi.json").get_json()["servers"] == [{"url": "./"}]
    script = client.get("/static/docs.js")
    assert '"openapi.json"' in script.text
    script.close()


def test_form_has_no_list_of_thousands(tmp_path: Path, documented: Contract) -> None:
    """One of 20,000 values is typed: the page shows a few and their number."""
    served = predictor(tmp_path / "model", documented)
    values = tuple(f"Merchant {number}" for number in range(20_000))
    served.model.contract = documented.model_copy(
        update={
            "features": tuple(
                feature.model_copy(update={"values": values, "example": values[7]})
                if feature.name == "marital_status"
                else feature
                for feature in documented.features
            )
        }
    )
    page = application(ServedModel(served), documented).test_client().get("/").text
    assert '<input id="feature-marital_status" type="text" value="Merchant 7"' in page
    assert "(20,000 in all)" in page
    assert len(page) < 20_000


def test_head_and_options_are_answered(client: FlaskClient) -> None:
    """HEAD has no body; OPTIONS lists the methods of a route."""
    head = client.head("/health/ready")
    assert (head.status_code, head.data) == (200, b"")
    options = client.options("/predict")
    assert options.status_code == 200
    assert set(options.allow) == {"POST", "OPTIONS"}


def test_bad_range_is_a_problem(client: FlaskClient) -> None:
    """A range that a file does not have is a problem, whose type is no row of `/docs`."""
    answer = client.get("/static/form.js", headers={"Range": "bytes=999999-"})
    assert (answer.status_code, problem_code(answer)) == (416, "requested_range_not_satisfiable")
    assert answer.get_json()["type"] == "about:blank"


class TestMetrics:
    def sample(self, client: FlaskClient, line: str) -> bool:
        return line in client.get("/metrics").text.splitlines()

    def test_requests_are_counted_by_route(
        self, client: FlaskClient, example: dict[str, Any]
    ) -> None:
        """Requests are counted by the route's template, never by their path."""
        client.post("/predict", json=example)
        client.post("/predict", json={})
        client.get("/some/path")
        client.get("/docs/some_file")
        for route, status in (
            ("/predict", 200),
            ("/predict", 422),
            ("unmatched", 404),
            ("/docs/<path:name>", 404),
        ):
            labels = f'{{route="{route}",status="{status}"}}'
            assert self.sample(client, f"mlstack_http_requests_total{labels} 1.0")
            assert self.sample(client, f"mlstack_http_request_duration_seconds_count{labels} 1.0")

    def test_predictions_are_counted_by_model(
        self, client: FlaskClient, example: dict[str, Any]
    ) -> None:
        """Each answered customer counts, by model; refused ones do not."""
        client.post("/predict", json=example)
        client.post("/predict/batch", json=[example] * 5)
        client.post("/predict/batch", json=[example, {}])
        labels = f'{{model_run_id="{RUN_ID}",source="api"}}'
        assert self.sample(client, f"mlstack_predictions_total{labels} 6.0")

    def test_only_the_model_in_use_is_shown(self, client: FlaskClient, metrics: Metrics) -> None:
        """The metrics show the model in use and no earlier one."""
        assert "mlstack_model_loaded{" not in client.get("/metrics").text
        metrics.model_loaded("b" * 32)
        metrics.model_loaded(RUN_ID)
        assert self.sample(client, f'mlstack_model_loaded{{model_run_id="{RUN_ID}"}} 1.0')
        assert "b" * 32 not in client.get("/metrics").text
        metrics.model_loaded(None)
        assert "mlstack_model_loaded{" not in client.get("/metrics").text


class TestFeedbackToken:
    """Whoever can say what became of customers decides what the model is judged by."""

    BODY = {"prediction_id": "8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11", "churned": True}  # noqa: RUF012 - no test changes it

    @pytest.fixture
    def client(self, served: ServedModel, documented: Contract, tmp_path: Path) -> FlaskClient:
        token = tmp_path / "token"
        token.write_text("opensesame\n")
        settings = Settings(bind_address="0.0.0.0", feedback_token_file=token)
        return application(served, documented, settings=settings).test_client()

    @pytest.mark.parametrize(
        "header", [None, "Bearer", "Bearer wrong", "Basic opensesame", "Bearer opensesam\xe9"]
    )
    def test_feedback_without_token_is_refused(
        self, client: FlaskClient, header: str | None
    ) -> None:
        """Feedback with a missing or wrong token is refused."""
        headers = {} if header is None else {"Authorization": header}
        answer = client.post("/feedback", json=self.BODY, headers=headers)
        assert (answer.status_code, problem_code(answer)) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    def test_feedback_with_token_is_accepted(self, client: FlaskClient) -> None:
        """Feedback with the token is accepted."""
        headers = {"Authorization": "bearer opensesame"}
        assert client.post("/feedback", json=self.BODY, headers=headers).status_code == 202

    def test_predictions_need_no_token(self, client: FlaskClient, example: dict[str, Any]) -> None:
        """Predictions need no token."""
        assert client.post("/predict", json=example).status_code == 200


class TestMarginals:
    """How simulators learn about the customers of a table."""

    def test_marginals_of_the_model_are_sent(
        self, served: ServedModel, client: FlaskClient
    ) -> None:
        """They are sent as they were kept with the run, null if there are none."""
        assert client.get("/marginals").get_json() is None
        served.in_use.model.marginals = '{"contract": "", "features": {}}'
        assert client.get("/marginals").get_json() == {"contract": "", "features": {}}

    def test_marginals_need_the_token(
        self, tmp_path: Path, served: ServedModel, documented: Contract
    ) -> None:
        """Where other machines reach the server, they need the token."""
        (tmp_path / "token").write_text("secret-token-secret-token-secret")
        settings = Settings(bind_address="0.0.0.0", feedback_token_file=tmp_path / "token")
        client = application(served, documented, settings=settings).test_client()
        assert client.get("/marginals").status_code == 401
        given = {"Authorization": "Bearer secret-token-secret-token-secret"}
        assert client.get("/marginals", headers=given).status_code == 200
