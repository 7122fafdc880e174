"""The HTTP server's application.

Start it with `gunicorn -c server/gunicorn_conf.py server.predict_api_server:app`.
"""

import time

from flask import Flask, Response, request

from mlstack.deployment.predictor import ModelSource
from mlstack.deployment.watcher import ModelWatcher
from mlstack.prediction_log.prediction import PredictionSink
from mlstack.prediction_log.prediction_log import PredictionLog
from mlstack.settings import Settings
from mlstack.web.flask_bridge import FlaskBridge
from mlstack.web.problems import Problem, answer_errors
from server import logs
from server.fast_path import FastPath
from server.metrics import Metrics
from server.problems import problem_of
from server.routes import Routes, max_body

SERVER_NAME = "predict-api"
"""Name of this server in deployments and logs."""

_ID, _BEGUN = "mlstack.request_id", "mlstack.begun"
_NO_ROUTE = "unmatched"

# Pages load nothing from other servers and cannot be framed. Swagger UI sets styles on single
# elements and has its icons in its style sheet.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


def create_app(
    settings: Settings, models: ModelSource, metrics: Metrics, prediction_log: PredictionSink
) -> Flask:
    """Build the application."""
    app = Flask(__name__)
    # Flask would redirect a path with two slashes, and the redirect would lose the body.
    app.url_map.merge_slashes = False
    Routes(settings, models, metrics, prediction_log).register(app)

    @app.before_request
    def begin() -> None:
        environ = request.environ
        environ[_BEGUN] = time.perf_counter()
        environ[_ID] = logs.request_id(environ.get("HTTP_X_REQUEST_ID", ""))

    def problem(error: Exception) -> Problem:
        request_id = request.environ[_ID]
        found = problem_of(error, request_id, settings)
        found.members = {"request_id": request_id, "errors": [], **found.members}
        return found

    answer_errors(app, problem)

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


metrics = Metrics()
_settings = Settings.load()
prediction_log = PredictionLog(_settings, "api")
watcher = ModelWatcher(_settings, SERVER_NAME, prediction_log, metrics.model_loaded)
flask_app = create_app(_settings, watcher, metrics, prediction_log)
app = FastPath(FlaskBridge(flask_app, _settings.api_threads, max_body), watcher, metrics)
