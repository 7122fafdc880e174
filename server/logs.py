"""Logs of the HTTP server: requests on stdout, everything else on stderr.

At full speed a line for each request would fill a disk in days, so by default only errors and slow
requests have one.
"""

import json
import logging
import os
import re
import sys
from http import HTTPStatus

from mlstack.command_line import log_to_stderr

SLOW_SECONDS = 0.5
"""A request that took longer is always logged."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_access = logging.getLogger("server.access")


def set_up(*, every_request: bool) -> None:
    """Set up the process's logs."""
    log_to_stderr()
    _access.setLevel(logging.DEBUG if every_request else logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter('{"time":"%(asctime)s",%(message)s}'))
    _access.handlers = [handler]
    _access.propagate = False


def request_id(given: str) -> str:
    """Return the id of a request: the client's X-Request-Id if it may be logged, or a new one."""
    return given if REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log a completed request as one JSON object, if it failed, was slow, or all are asked for.

    `request_id` may have only letters, digits and `._-`; `route` is a template.
    """
    is_news = status >= HTTPStatus.BAD_REQUEST or seconds > SLOW_SECONDS
    _access.log(
        logging.INFO if is_news else logging.DEBUG,
        '"request_id":"%s","method":%s,"route":"%s","status":%d,"ms":%.2f',
        request_id,
        json.dumps(method),
        route,
        status,
        seconds * 1000,
    )
