"""gunicorn settings shared by all HTTP services.

A service's `gunicorn_conf.py` imports this module first and takes over all of its settings.
"""

import os
import sys

# Set before NumPy is loaded: one row is too little work for several threads, and the
# parent's threads would not exist in its workers.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

from mlstack.allocator import share_one_arena
from mlstack.errors import MlstackError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.settings import ROOT, Settings

__all__ = [
    "chdir",
    "control_socket_disable",
    "forwarder_headers",
    "keepalive",
    "pythonpath",
    "worker_class",
]

share_one_arena()

chdir = pythonpath = str(ROOT)
worker_class = "mlstack.web.asgi_worker.Worker"
# Longer than Nginx keeps an idle connection (60 s): the client must close it first, or a request
# may arrive on a connection that is being closed.
keepalive = 75
# No header may move the application to another path.
forwarder_headers = ""
# We do not use it, and its thread would exist at the fork.
control_socket_disable = True


def load_settings() -> Settings:
    """Load a service's settings; end the process if they can never work."""
    # The service retries MLflow by itself, and reports why there is no model.
    shorten_timeouts()
    try:
        settings = Settings.load()
        _ = settings.feedback_token
    except MlstackError as error:
        sys.exit(str(error))
    return settings


def listen_address(settings: Settings, port: int) -> str:
    """Return the address that gunicorn binds to."""
    host = settings.listens_on
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
