"""gunicorn configuration of the HTTP server."""

# ruff: noqa: PLC0415 - the functions' imports must run after the environment is set

import gc
import os
import shutil
import socket
from typing import TYPE_CHECKING

from mlstack.web.gunicorn_settings import *  # noqa: F403 - gunicorn reads this module's names
from mlstack.web.gunicorn_settings import listen_address, load_settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = load_settings()

# One folder per server: replicas may share a state folder.
_metrics_folder = (
    _settings.state_path / "metrics" / f"predict-api-{socket.gethostname()}-{_settings.api_port}"
)
_metrics_folder.mkdir(parents=True, exist_ok=True)
os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_metrics_folder)

_FIRST_MODEL_SECONDS = 5.0
_OBJECTS_BEFORE_COLLECTION = 20_000

bind = listen_address(_settings, _settings.api_port)
workers = _settings.api_workers
threads = _settings.api_threads
preload_app = True
timeout = 30
graceful_timeout = 30


def when_ready(_: "Arbiter") -> None:
    """Reset the metrics once the port is ours, before the first worker runs."""
    for file in _metrics_folder.iterdir():
        file.unlink()


def on_exit(_: "Arbiter") -> None:
    """Remove the metrics."""
    shutil.rmtree(_metrics_folder, ignore_errors=True)


def post_worker_init(_: "Worker") -> None:
    """Start the worker's threads after the fork, because threads do not survive it."""
    from server import logs
    from server.predict_api_server import prediction_log, watcher

    logs.set_up(every_request=_settings.log_requests)
    prediction_log.start()
    watcher.start()
    # A replacement worker should not reject what the old one would have answered.
    watcher.wait_for_first_look(_FIRST_MODEL_SECONDS)
    # Objects that exist by now stay, and a collection that visits all of them delays requests. A
    # batch makes thousands of objects; nearly all of them are freed without a collection.
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_COLLECTION)


def worker_exit(_: "Arbiter", __: "Worker") -> None:
    """Remove the worker's statement and close its spool."""
    from server.predict_api_server import prediction_log, watcher

    watcher.stop()
    prediction_log.stop()


def child_exit(_: "Arbiter", worker: "Worker") -> None:
    """Remove a dead worker's model from the metrics; its counts stay."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # it has no types
