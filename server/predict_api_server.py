"""The HTTP server's application.

Started by `gunicorn -c server/gunicorn_conf.py server.predict_api_server:app`.
"""

import logging
import re
import time
import uuid

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from mlstack.deployment.watcher import ModelWatcher
from mlstack.errors import ContractError, InvalidRequest, echo
from mlstack.prediction_log.prediction_log import PredictionLog
from mlstack.prediction_log.spool import SpoolError
from mlstack.settings import Settings
from mlstack.web.request_body import BodyRefused
from mlstack.web.strict_json import InvalidJson
from server import logs, problems
from server.metrics import Metrics
from server.problems import Problem
from server.routes import NOT_READY_RETRY, KeepsOutcomes, Routes, Served

SERVER_NAME = "predict-api"
"""What deploys and logs call this server."""

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ID, _BEGUN = "mlstack.request_id", "mlstack.begun"
_NO_ROUTE = "unmatched"
_NOT_KEPT_RETRY = "5"

# Nothing comes from elsewhere, and no page of ours is shown inside of another one. Swagger UI
# sets styles of single elements and has its icons in its style sheet.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def create_app(
    settings: Settings, served: Served, metrics: Metrics, prediction_log: KeepsOutcomes
) -> Flask:
    """Builds the application.

    Args:
        settings: `CONTRACT` describes the API until a model is loaded.
        served: The model in use.
        metrics: Where requests and predictions are counted.
        prediction_log: Where outcomes are kept.
    """
    app = Flask(__name__)
    # A path is one of ours as it stands or it is none: a redirect would lose the body.
    app.url_map.merge_slashes = False
    app.before_request(_begin)
    app.register_error_handler(Problem, _problem)
    app.register_error_handler(BodyRefused, _refused_body)
    app.register_error_handler(InvalidJson, _bad_body)
    app.register_error_handler(InvalidRequest, _bad_body)
    app.register_error_handler(SpoolError, _not_kept)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    Routes(settings, served, metrics, prediction_log).register(app)

    @app.errorhandler(ContractError)
    def no_contract(error: ContractError) -> Response:
        log.error("request %s needs the contract: %s", request.environ[_ID], error)
        return problems.response(
            problems.KINDS["not_ready"],
            problems.without_folders(str(error), settings),
            request.environ[_ID],
            headers={"Retry-After": NOT_READY_RETRY},
        )

    @app.after_request
    def end(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = request.environ[_ID]
        headers["X-Content-Type-Options"] = "nosniff"
        if response.mimetype == "text/html":
            headers["Content-Security-Policy"] = _PAGE_POLICY
            headers["Referrer-Policy"] = "no-referrer"
        route = request.url_rule.rule if request.url_rule else _NO_ROUTE
        seconds = time.perf_counter() - request.environ[_BEGUN]
        metrics.request(route, response.status_code, seconds)
        logs.request(request.environ[_ID], request.method, route, response.status_code, seconds)
        return response

    return app


def _begin() -> None:
    environ = request.environ
    environ[_BEGUN] = time.perf_counter()
    given = environ.get("HTTP_X_REQUEST_ID", "")
    environ[_ID] = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _problem(problem: Problem) -> Response:
    return problems.response(
        problem.kind, problem.detail, request.environ[_ID], headers=problem.headers
    )


def _refused_body(error: BodyRefused) -> Response:
    return problems.response(problems.KINDS[error.code], error.detail, request.environ[_ID])


def _bad_body(error: InvalidJson | InvalidRequest) -> Response:
    return problems.from_error(error, request.environ[_ID])


def _not_kept(error: SpoolError) -> Response:
    log.error("request %s cannot be kept: %s", request.environ[_ID], error)
    detail = "nothing was predicted or taken; try again later"
    headers = {"Retry-After": _NOT_KEPT_RETRY}
    return problems.response(
        problems.KINDS["not_kept"], detail, request.environ[_ID], headers=headers
    )


def _http_error(error: HTTPException) -> Response:
    kind = problems.http_kind(error.code or 500)
    headers = {
        name: value
        for name, value in error.get_headers(request.environ)
        if name not in {"Content-Type", "Content-Length"}
    }
    detail = f"{echo(request.method)} {echo(request.path)}: {kind.title}"
    return problems.response(kind, detail, request.environ[_ID], headers=headers)


def _defect(error: Exception) -> Response:
    request_id = request.environ[_ID]
    log.error("request %s met a defect", request_id, exc_info=error)
    detail = "the server's log has the details under this request_id; please report it"
    return problems.response(problems.KINDS["internal_error"], detail, request_id)


metrics = Metrics()
_settings = Settings.load()
prediction_log = PredictionLog(_settings, "api", metrics.prediction_log)
watcher = ModelWatcher(_settings, SERVER_NAME, prediction_log, metrics.model_loaded)
app = create_app(_settings, watcher, metrics, prediction_log)
