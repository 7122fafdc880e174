"""Logs: one line per request on stdout, everything else on stderr."""

import json
import logging
import sys

from mlstack.command_line import log_to_stderr

_access = logging.getLogger("server.access")


def set_up() -> None:
    """Set up the process's logs."""
    log_to_stderr()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter('{"time":"%(asctime)s",%(message)s}'))
    _access.handlers = [handler]
    _access.propagate = False


def request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log a completed request as one JSON object.

    `request_id` may have only letters, digits and `._-`; `route` is a template.
    """
    _access.info(
        '"request_id":"%s","method":%s,"route":"%s","status":%d,"ms":%.2f',
        request_id,
        json.dumps(method),
        route,
        status,
        seconds * 1000,
    )
