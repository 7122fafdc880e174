"""How gunicorn runs the HTTP server.

What the functions need is imported inside of them: it must not be loaded before the
environment is set here.
"""

# ruff: noqa: PLC0415 - see above

import os
import shutil
import socket
import sys
from typing import TYPE_CHECKING

# Before anything loads XGBoost: one row is too little work for several threads, and
# threads of the parent process would not exist in its workers.
os.environ["OMP_NUM_THREADS"] = "1"

from mlstack.errors import MlstackError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.prediction_log.mongo_database import mongo_client
from mlstack.settings import ROOT, Settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

# The watcher asks again by itself, and meanwhile has to be able to say why there is no model.
shorten_timeouts()

try:
    _settings = Settings.load()
    # One that can never work is told of now; one that cannot be reached is asked again and again.
    mongo_client(_settings.mongo_uri).close()
except MlstackError as error:
    sys.exit(str(error))

# One folder a server: replicas may share a state folder.
_metrics_folder = (
    _settings.state_path / "metrics" / f"predict-api-{socket.gethostname()}-{_settings.api_port}"
)
_metrics_folder.mkdir(parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_folder)

_FIRST_MODEL_SECONDS = 5.0

chdir = str(ROOT)
pythonpath = str(ROOT)
_host = _settings.listens_on
bind = f"[{_host}]:{_settings.api_port}" if ":" in _host else f"{_host}:{_settings.api_port}"

workers = _settings.api_workers
threads = _settings.api_threads
worker_class = "mlstack.web.http_worker.Worker"
preload_app = True

# Longer than Nginx keeps an idle connection (60 s): the one that opened it has to close it,
# else a request can meet a connection that is just being closed.
keepalive = 75
# A connection costs little while it waits; requests that wait too long are refused (routes.py).
worker_connections = 1000
timeout = 30
graceful_timeout = 30

limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190
# A client must not be able to move the application to another path by a header.
forwarder_headers = ""
# Static files are small, and this way each write has its deadline (http_worker.py).
sendfile = False
# gunicorn's own; nothing of ours talks to it, and its thread would be there at the fork.
control_socket_disable = True
accesslog = None
errorlog = "-"


def when_ready(_: "Arbiter") -> None:
    """Begins to count anew, once the port is ours and before the first worker is there."""
    for file in _metrics_folder.iterdir():
        file.unlink()


def on_exit(_: "Arbiter") -> None:
    """Leaves no counts behind."""
    shutil.rmtree(_metrics_folder, ignore_errors=True)


def post_worker_init(_: "Worker") -> None:
    """Starts to follow the deployment, in the worker: a thread does not survive a fork."""
    from server import logs
    from server.predict_api_server import prediction_log, watcher

    logs.set_up()
    prediction_log.start()
    watcher.start()
    # A worker that takes another one's place should not refuse what that one would answer.
    watcher.wait_for_first_look(_FIRST_MODEL_SECONDS)


def worker_exit(_: "Arbiter", __: "Worker") -> None:
    """Withdraws the worker's statement and drains its log for a moment."""
    from server.predict_api_server import prediction_log, watcher

    watcher.stop()
    prediction_log.stop()


def child_exit(_: "Arbiter", worker: "Worker") -> None:
    """Takes what a dead worker had loaded out of the metrics; its counts stay."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no types
