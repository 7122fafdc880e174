"""How gunicorn runs the service: one process, whose threads share one window."""

# ruff: noqa: PLC0415 - what the functions need must not be loaded before the environment is set

import os
import sys
from typing import TYPE_CHECKING

# Before anything loads NumPy or XGBoost: a calculation is to take one core, not the machine.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
# Evidently reports its use to its makers unless it is told not to.
os.environ.setdefault("DO_NOT_TRACK", "1")

from mlstack.contract import Contract
from mlstack.errors import MlstackError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.prediction_log.mongo_database import mongo_client
from mlstack.settings import ROOT, Settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

# The monitor asks again by itself, and meanwhile has to be able to say what it waits for.
shorten_timeouts()

try:
    _settings = Settings.load()
    Contract.load(_settings.contract_path)
    _ = _settings.feedback_token
    # One that can never work is told of now; one that cannot be reached is asked again and again.
    mongo_client(_settings.mongo_uri).close()
except MlstackError as error:
    sys.exit(str(error))

chdir = str(ROOT)
pythonpath = str(ROOT)
_host, _port = _settings.listens_on, _settings.evidently_port
bind = f"[{_host}]:{_port}" if ":" in _host else f"{_host}:{_port}"

workers = 1
threads = 8
# Clients that stall take a thread for a while only.
worker_class = "mlstack.web.http_worker.Worker"
# With files sent by the kernel a write would have no deadline.
sendfile = False
keepalive = 75
timeout = 60
graceful_timeout = 5
limit_request_line = 4094
limit_request_fields = 64
forwarder_headers = ""
control_socket_disable = True
accesslog = None
errorlog = "-"


def post_worker_init(_: "Worker") -> None:
    """Starts the threads, in the worker: none survives a fork."""
    import logging

    from monitoring.evidently_service.app import monitor

    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
    )
    monitor.start()


def worker_exit(_: "Arbiter", __: "Worker") -> None:
    """Ends the threads."""
    from monitoring.evidently_service.app import monitor

    monitor.stop()
