"""The HTTP server's routes."""

import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_swagger_ui
from flask import Flask, Response, render_template, request, send_from_directory

from mlstack.contract import Contract
from mlstack.contract.customer_schema import describe
from mlstack.contract.prediction_fields import EXPLANATION, RUN_ID
from mlstack.deployment.predictor import MAX_BATCH, ModelSource, Predictor
from mlstack.errors import echo, listing
from mlstack.prediction_log.feedback import read_feedback
from mlstack.prediction_log.prediction import Origin, PredictionSink
from mlstack.settings import Settings
from mlstack.web.flask_bridge import WAITED
from mlstack.web.problems import Problem
from mlstack.web.request_checks import check_declaration, check_token, read_json
from mlstack.web.template_filters import breakable
from server import problems
from server.answers import encode
from server.explainer import PARAMETER, Explainer, asked_for
from server.metrics import CONTENT_TYPE, Metrics
from server.openapi import openapi_document
from server.prediction_ids import PredictionIds

MAX_BODY = 64 * 1024
"""Maximum body size of one customer in bytes, unless the contract's customers may be longer."""

MAX_BATCH_BODY = 1024 * 1024
"""The same of a batch."""

MOST_BATCH_BODY = 16 * 1024 * 1024
"""Maximum body size of a batch in bytes, however long its customers are."""

MAX_WAIT = 1.0
"""Seconds after which a waiting request is rejected: serving it would delay all later ones."""

_MAX_OPTIONS = 200
"""Maximum number of values that the form offers as a list; of more, one is typed."""

_ORIGIN = Origin("api")
_SWAGGER_UI = Path(flask_swagger_ui.__file__).parent / "dist"


class Routes:
    """The routes' handlers.

    The contract in the settings describes the API until a model is loaded. Raises SettingsError if
    other machines can reach `/feedback` but there is no token.
    """

    def __init__(
        self,
        settings: Settings,
        models: ModelSource,
        metrics: Metrics,
        prediction_log: PredictionSink,
    ) -> None:
        self._settings, self._models, self._metrics = settings, models, metrics
        self._log = prediction_log
        self._explainer = Explainer()
        self._feedback_token = settings.feedback_token
        self._openapi: tuple[str | None, bytes] | None = None

    def register(self, app: Flask) -> None:
        """Add every route to the application."""
        app.add_template_filter(_capitalize_first, "capitalize_first")
        app.add_template_filter(describe, "describe")
        app.add_template_filter(breakable, "breakable")
        app.post("/predict")(self.predict)
        app.post("/predict/batch")(self.predict_batch)
        app.post("/feedback")(self.feedback)
        app.get("/health/live")(self.live)
        app.get("/health/ready")(self.ready)
        app.get("/metrics")(self.show_metrics)
        app.get("/marginals")(self.marginals)
        app.get("/openapi.json")(self.openapi)
        app.get("/docs")(self.docs)
        app.get("/docs/<path:name>")(self.docs_file)
        app.get("/")(self.form)

    def predict(self) -> Response:
        """Predict one customer, and explain it if the query asks for that."""
        predictor = self._accept()
        explained = _read_explain(request.environ["QUERY_STRING"])
        ids = PredictionIds(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        customer = predictor.validate(self._read(predictor))
        run_id = predictor.model.run_id
        (prediction,) = predictor.score([customer], [ids.one(customer, run_id)], [_ORIGIN])
        answer = prediction.answer()
        if explained:
            why = self._explainer.explain(predictor.model, customer, prediction.scored)
            answer[EXPLANATION] = why.document()
        predictor.keep([prediction])
        self._metrics.predictions(1, run_id)
        return _json(answer)

    def predict_batch(self) -> Response:
        """Predict an array of customers in order, all or none."""
        predictor = self._accept()
        if asked_for(request.environ["QUERY_STRING"]):
            detail = f"{PARAMETER} is for one customer: POST /predict?{PARAMETER}=1"
            raise Problem(problems.KINDS["invalid_parameter"], detail)
        ids = PredictionIds(request.environ.get("HTTP_IDEMPOTENCY_KEY"))
        customers = predictor.validate_batch(self._read(predictor))
        run_id = predictor.model.run_id
        predictions = predictor.predict(
            customers, ids.batch(customers, run_id), [_ORIGIN] * len(customers)
        )
        self._metrics.predictions(len(predictions), run_id)
        return _json([prediction.answer() for prediction in predictions])

    def feedback(self) -> Response:
        """Keep outcomes of customers; works without a model."""
        self._refuse_when_overloaded()
        # Outcomes decide how the model is evaluated.
        check_token(request, self._feedback_token, "feedback")
        check_declaration(request)
        contract = self._contract(self._models.predictor)
        outcomes = read_feedback(self._read(None), contract)
        self._log.keep_outcomes(outcomes)
        return _json({"accepted": len(outcomes)}, HTTPStatus.ACCEPTED)

    def live(self) -> Response:
        """Report that the process responds."""
        return _json({"status": "alive"})

    def ready(self) -> Response:
        """Report whether a verified model is in use."""
        return _json({"status": "ready", RUN_ID: self._predictor().model.run_id})

    def show_metrics(self) -> Response:
        """Return the metrics for Prometheus."""
        return Response(self._metrics.render(), content_type=CONTENT_TYPE)

    def marginals(self) -> Response:
        """Return how each feature was distributed in training; null for a model without it."""
        check_token(request, self._feedback_token, "marginals")
        text = self._predictor().model.marginals or "null"
        return Response(text, content_type="application/json")

    def openapi(self) -> Response:
        """Describe the API of the model in use."""
        predictor = self._models.predictor
        run_id = predictor.model.run_id if predictor else None
        if self._openapi is None or self._openapi[0] != run_id:
            document = openapi_document(self._contract(predictor), run_id)
            self._openapi = run_id, json.dumps(document).encode()
        return Response(self._openapi[1], content_type="application/json")

    def docs(self) -> Response:
        """Show the API's description in Swagger UI, from local files."""
        return _page("docs.html", kinds=problems.KINDS.values())

    def docs_file(self, name: str) -> Response:
        """Send a file of Swagger UI."""
        return send_from_directory(_SWAGGER_UI, name, max_age=3600)

    def form(self) -> Response:
        """Show a form to try the model."""
        predictor = self._models.predictor
        return _page(
            "form.html",
            contract=self._contract(predictor),
            most_options=_MAX_OPTIONS,
            run_id=predictor.model.run_id if predictor else None,
            reason=self._reason(),
        )

    def _accept(self) -> Predictor:
        """Reject a request whose body need not be read; return the predictor."""
        self._refuse_when_overloaded()
        check_declaration(request)
        return self._predictor()

    def _read(self, predictor: Predictor | None) -> Any:
        return read_json(request, max_body(request.path, predictor))

    def _refuse_when_overloaded(self) -> None:
        if request.environ.get(WAITED, 0.0) > MAX_WAIT:
            raise Problem(
                problems.KINDS["overloaded"],
                f"the request waited longer than {MAX_WAIT:g} s for its turn; try again later",
                {"Retry-After": "1"},
            )

    def _predictor(self) -> Predictor:
        predictor = self._models.predictor
        if predictor is None:
            raise Problem(problems.KINDS["not_ready"], self._reason(), problems.RETRY_SOON)
        return predictor

    def _reason(self) -> str:
        return problems.without_folders(self._models.reason, self._settings)

    def _contract(self, predictor: Predictor | None) -> Contract:
        return (
            predictor.model.contract if predictor else Contract.load(self._settings.contract_path)
        )


def max_body(path: str, predictor: Predictor | None = None) -> int:
    """Return the maximum body size of a route in bytes; 0 if it reads none."""
    longest = predictor.longest_customer if predictor else 0
    match path:
        case "/predict":
            return max(MAX_BODY, longest)
        case "/predict/batch":
            return max(MAX_BATCH_BODY, min(MAX_BATCH * longest, MOST_BATCH_BODY))
        case "/feedback":
            return MAX_BATCH_BODY
    return 0


def _read_explain(query: str) -> bool:
    """Return whether a query asks for an explanation. Raises Problem if it is unclear."""
    values = asked_for(query)
    if values and values != ["1"]:
        got = listing([echo(value) for value in values])
        detail = f"{PARAMETER} must be 1, once, or be left out; got {got}"
        raise Problem(problems.KINDS["invalid_parameter"], detail)
    return bool(values)


def _capitalize_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def _json(document: Any, status: HTTPStatus = HTTPStatus.OK) -> Response:
    return Response(encode(document), status, content_type="application/json")


def _page(template: str, **values: Any) -> Response:
    return Response(render_template(template, **values), headers={"Cache-Control": "no-cache"})
