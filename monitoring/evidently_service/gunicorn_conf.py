"""Configure gunicorn for Evidently: one process whose threads share a window."""

# ruff: noqa: PLC0415 - the functions' imports must run after the environment is set

import os
import sys
from typing import TYPE_CHECKING

# Disable Evidently's telemetry.
os.environ.setdefault("DO_NOT_TRACK", "1")

from mlstack.contract import Contract
from mlstack.errors import MlstackError
from mlstack.prediction_log.mongo_database import mongo_client
from mlstack.web.gunicorn_settings import *  # noqa: F403 - gunicorn reads this module's names
from mlstack.web.gunicorn_settings import listen_address, load_settings

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter
    from gunicorn.workers.base import Worker

_settings = load_settings()
try:
    Contract.load(_settings.contract_path)
    mongo_client(_settings.mongo_uri).close()
except MlstackError as error:
    sys.exit(str(error))

bind = listen_address(_settings, _settings.evidently_port)
workers = 1
timeout = 60
graceful_timeout = 5


def post_worker_init(_: "Worker") -> None:
    """Start the service's threads after the fork, because threads do not survive it."""
    from mlstack.command_line import log_to_stderr
    from monitoring.evidently_service.app import front_page, monitor

    log_to_stderr()
    monitor.start()
    front_page.start()


def worker_exit(_: "Arbiter", __: "Worker") -> None:
    """Stop the service's threads."""
    from monitoring.evidently_service.app import front_page, monitor

    front_page.stop()
    monitor.stop()
