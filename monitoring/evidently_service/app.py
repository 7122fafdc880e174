"""The service's application.

Started by `gunicorn -c monitoring/evidently_service/gunicorn_conf.py
monitoring.evidently_service.app:app`.
"""

import json
import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from mlstack.contract import Contract
from mlstack.errors import InvalidRequest, echo
from mlstack.settings import Settings
from mlstack.web import bearer
from mlstack.web.http_worker import CLOSE
from mlstack.web.request_body import BodyRefused, check_declaration, read_json
from mlstack.web.strict_json import InvalidJson
from monitoring.evidently_service.metrics import CONTENT_TYPE, Metrics
from monitoring.evidently_service.monitor import Monitor
from monitoring.evidently_service.page import Page

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a request's body."""

log = logging.getLogger(__name__)

# Nothing comes from elsewhere, and the page is not shown inside of another one.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Routes:
    """The routes' functions.

    Args:
        monitor: What takes rows and knows everything.
        contract: What a customer is.
        token: What `/iterate` wants of its callers; empty: nothing, only this machine can call.
    """

    def __init__(self, monitor: Monitor, contract: Contract, token: str) -> None:
        self._monitor, self._contract, self._token = monitor, contract, token
        self._metrics, self._page = Metrics(monitor, contract.name), Page(monitor, contract)

    def register(self, app: Flask) -> None:
        """Adds every route to the application."""
        app.post("/iterate/<name>")(self.iterate)
        app.get("/metrics")(self.metrics)
        app.get("/health/live")(self.live)
        app.get("/health/ready")(self.ready)
        app.get("/")(self.page)

    def iterate(self, name: str) -> Response:
        """An array of rows -> how many were taken; those that do not fit are named."""
        # Whoever can send rows decides what the model is judged by.
        authorization = request.headers.get("Authorization", "")
        if self._token and not bearer.is_given(authorization, self._token):
            detail = "send the token that the service was given: Authorization: Bearer ..."
            refused = _problem(HTTPStatus.UNAUTHORIZED, "unauthorized", detail, accepted=0)
            refused.headers["WWW-Authenticate"] = 'Bearer realm="iterate"'
            return refused
        if name != self._contract.name:
            watched = self._contract.name
            detail = f"this service watches {watched}; there is no data set {echo(name)}"
            return _problem(HTTPStatus.NOT_FOUND, "unknown_dataset", detail, accepted=0)
        check_declaration(request)
        rows = self._monitor.take(read_json(request, MAX_BODY))
        counts = {"accepted": len(rows.taken), "refused": rows.refused}
        if not rows.refused:
            return _json({**counts, "window_rows": len(self._monitor.window)})
        first = rows.faults[0]
        log.warning("%d rows refused; %s %s", rows.refused, first.pointer, first.detail)
        detail = f"{rows.refused} rows were refused, see errors; {len(rows.taken)} were taken"
        errors = [
            {"pointer": fault.pointer, "code": fault.code, "detail": fault.detail}
            for fault in rows.faults
        ]
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return _problem(status, "invalid_rows", detail, **counts, errors=errors)

    def metrics(self) -> Response:
        """For Prometheus."""
        return Response(self._metrics.render(), content_type=CONTENT_TYPE)

    def live(self) -> Response:
        """The process answers."""
        return _json({"status": "alive"})

    def ready(self) -> Response:
        """Rows are taken; without a model or with too few rows there is nothing to say yet."""
        if not self._monitor.alive:
            detail = "a thread of the service has ended; its log says why"
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", detail)
        return _json({"status": "ready", "detail": self._page.verdict()})

    def page(self) -> Response:
        """For people."""
        response = Response(
            render_template("status.html", **self._page.template_values()),
            content_type="text/html; charset=utf-8",
        )
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cache-Control"] = "no-store"
        return response


def create_app(monitor: Monitor, contract: Contract, token: str) -> Flask:
    """Builds the application; see `Routes`."""
    app = Flask(__name__)
    app.register_error_handler(BodyRefused, _refused_body)
    app.register_error_handler(InvalidJson, _no_json)
    app.register_error_handler(InvalidRequest, _no_rows)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _defect)
    app.after_request(_no_sniffing)
    Routes(monitor, contract, token).register(app)
    return app


def _no_sniffing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _refused_body(error: BodyRefused) -> Response:
    return _problem(error.status, error.code, error.detail, accepted=0)


def _no_json(error: InvalidJson) -> Response:
    return _problem(HTTPStatus.BAD_REQUEST, error.code, error.detail, accepted=0)


def _no_rows(error: InvalidRequest) -> Response:
    return _problem(
        HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_rows", error.errors[0].detail, accepted=0
    )


def _http_error(error: HTTPException) -> Response:
    # The body may not have been read to its end, or never come.
    request.environ[CLOSE] = True
    status = HTTPStatus(error.code or 500)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    response = _problem(
        status, code, f"{echo(request.method)} {echo(request.path)}: {status.phrase}"
    )
    for name, value in error.get_headers(request.environ):
        if name not in {"Content-Type", "Content-Length"}:
            response.headers[name] = value
    return response


def _defect(error: Exception) -> Response:
    log.error("%s %s met a defect", request.method, request.path, exc_info=error)
    detail = "the service's log has the details; please report it"
    return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", detail)


def _problem(status: HTTPStatus, code: str, detail: str, **more: Any) -> Response:
    """A problem as RFC 9457 has it; clients may rely on code and status."""
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "code": code,
        **more,
    }
    return Response(json.dumps(document), status, content_type="application/problem+json")


def _json(document: Any) -> Response:
    return Response(json.dumps(document), content_type="application/json")


_settings = Settings.load()
_contract = Contract.load(_settings.contract_path)
monitor = Monitor(_settings, _contract)
app = create_app(monitor, _contract, _settings.feedback_token)
