"""What gunicorn is told in every HTTP service.

A service's `gunicorn_conf.py` imports this module first and takes over all of its settings.
"""

import os
import sys

# Before NumPy and XGBoost are loaded: one row is too little work for several threads, and
# threads of the parent process would not exist in its workers.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from mlstack.errors import MlstackError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.prediction_log.mongo_database import mongo_client
from mlstack.settings import ROOT, Settings

__all__ = [
    "chdir",
    "control_socket_disable",
    "forwarder_headers",
    "keepalive",
    "limit_request_fields",
    "pythonpath",
    "sendfile",
    "worker_class",
]

chdir = pythonpath = str(ROOT)
worker_class = "mlstack.web.http_worker.Worker"
# A file that the kernel sends would have no deadline; ours are small.
sendfile = False
# Longer than Nginx keeps an idle connection (60 s): the side that opened a connection has to
# close it, or a request can meet a connection that is just being closed.
keepalive = 75
limit_request_fields = 64
# No header may move the application to another path.
forwarder_headers = ""
# Nothing of ours uses it, and its thread would exist at the fork.
control_socket_disable = True


def load_settings() -> Settings:
    """Load the settings of a service; end the process if one of them can never work."""
    # The service asks MLflow again by itself, and meanwhile says why there is no model.
    shorten_timeouts()
    try:
        settings = Settings.load()
        _ = settings.feedback_token
        mongo_client(settings.mongo_uri).close()
    except MlstackError as error:
        sys.exit(str(error))
    return settings


def listen_address(settings: Settings, port: int) -> str:
    """Return what gunicorn binds to."""
    host = settings.listens_on
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
