"""The Evidently service's application.

Started by `gunicorn -c monitoring/evidently_service/gunicorn_conf.py
monitoring.evidently_service.app:app`.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

from mlstack.contract import Contract
from mlstack.errors import InvalidRequest, echo, listing
from mlstack.settings import Settings
from mlstack.web.flask_bridge import FlaskBridge
from mlstack.web.problems import Problem, answer_errors, http_kind, http_problem
from mlstack.web.request_checks import (
    RequestRefused,
    check_declaration,
    check_token,
    read_json,
)
from mlstack.web.strict_json import InvalidJson
from mlstack.web.template_filters import breakable
from monitoring.evidently_service.front_page import FrontPage, age
from monitoring.evidently_service.metrics import CONTENT_TYPE, Metrics
from monitoring.evidently_service.monitor import Monitor
from monitoring.evidently_service.page import Page

MAX_BODY = 16 * 1024 * 1024
"""Maximum size of a request body in bytes."""

_INVALID_ROWS = http_kind(422, "invalid_rows")

log = logging.getLogger(__name__)

# Pages load nothing from other servers and cannot be framed.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Routes:
    """The HTTP handlers; an empty `token` leaves `/iterate` open, for local use."""

    def __init__(
        self, monitor: Monitor, contract: Contract, page: Page, front: FrontPage, token: str
    ) -> None:
        self._monitor, self._contract, self._token = monitor, contract, token
        self._metrics, self._page, self._front = Metrics(monitor, contract), page, front

    def register(self, app: Flask) -> None:
        """Add every route to the application."""
        app.post("/iterate/<name>")(self.iterate)
        app.get("/metrics")(self.metrics)
        app.get("/health/live")(self.live)
        app.get("/health/ready")(self.ready)
        app.get("/monitoring")(self.page)
        app.get("/")(self.front)

    def iterate(self, name: str) -> Response:
        """Accept an array of rows, and report the invalid ones."""
        # Rows decide how the model is judged, so senders need a token.
        check_token(request, self._token, "iterate")
        if name != self._contract.name:
            watched = self._contract.name
            detail = f"this service monitors {watched}, not {echo(name)}"
            raise Problem(http_kind(404, "unknown_dataset"), detail, accepted=0)
        check_declaration(request)
        rows = self._monitor.take(read_json(request, MAX_BODY))
        accepted = len(rows.accepted)
        if rows.refused:
            first = rows.faults[0]
            log.warning("%d rows rejected; %s %s", rows.refused, first.pointer, first.detail)
            raise Problem(
                _INVALID_ROWS,
                f"{rows.refused} rows were rejected, see errors; {accepted} were accepted",
                accepted=accepted,
                refused=rows.refused,
                errors=[fault.document() for fault in rows.faults],
            )
        window_rows = len(self._monitor.window)
        return _json({"accepted": accepted, "refused": 0, "window_rows": window_rows})

    def metrics(self) -> Response:
        """Return the metrics for Prometheus."""
        return Response(self._metrics.render(), content_type=CONTENT_TYPE)

    def live(self) -> Response:
        """Report that the process is alive."""
        return _json({"status": "alive"})

    def ready(self) -> Response:
        """Report whether the service accepts rows, and describe the latest calculation."""
        if not self._monitor.alive:
            detail = "a thread of the service has ended; its log says why"
            raise Problem(http_kind(503, "not_ready"), detail)
        return _json({"status": "ready", "detail": self._page.verdict()})

    def front(self) -> Response:
        """Render the front page of the stack."""
        return _html("front.html", self._front.template_values(request.host_url))

    def page(self) -> Response:
        """Render the monitoring page."""
        return _html("status.html", self._page.template_values())


def create_app(
    monitor: Monitor, contract: Contract, page: Page, front: FrontPage, token: str
) -> Flask:
    """Build the application; see `Routes`."""
    app = Flask(__name__)
    app.jinja_env.filters |= {
        "age": age,
        "breakable": breakable,
        "listing": listing,
        "sentence": _sentence,
    }
    # A redirect to the path with one slash would lose the prefix of a proxy.
    app.url_map.merge_slashes = False
    answer_errors(app, _problem_of)
    app.after_request(_forbid_sniffing)
    Routes(monitor, contract, page, front, token).register(app)
    return app


def _forbid_sniffing(response: Response) -> Response:
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case RequestRefused():
            kind = http_kind(error.status, error.code)
            return Problem(kind, error.detail, error.headers, accepted=0)
        case InvalidJson():
            return Problem(http_kind(400, error.code), error.detail, accepted=0)
        case InvalidRequest():
            return Problem(_INVALID_ROWS, error.errors[0].detail, accepted=0)
        case HTTPException():
            return http_problem(error, http_kind(error.code or 500))
    log.error("unexpected error in %s %s", request.method, request.path, exc_info=error)
    detail = "the service's log has the details; please report it"
    return Problem(http_kind(500, "internal_error"), detail)


def _max_body(path: str) -> int:
    return MAX_BODY if path.startswith("/iterate/") else 0


def _html(template: str, values: Mapping[str, Any]) -> Response:
    page = render_template(template, **values)
    response = Response(page, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cache-Control"] = "no-store"
    return response


def _sentence(text: str) -> str:
    """Write a text as a sentence: with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"


def _json(document: Any) -> Response:
    return Response(json.dumps(document), content_type="application/json")


_settings = Settings.load()
_contract = Contract.load(_settings.contract_path)
monitor = Monitor(_settings, _contract)
_page = Page(monitor, _contract)
front_page = FrontPage(_settings, _contract, monitor, _page)
flask_app = create_app(monitor, _contract, _page, front_page, _settings.feedback_token)
app = FlaskBridge(flask_app, threads=8, max_body=_max_body)
