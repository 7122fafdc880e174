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

    Args:
        request_id: Letters, digits and `._-` only.
        method: As sent by the client.
        route: The route's template.
        status: Status of the response.
        seconds: Time from the request's head to the response.
    """
    _access.info(
        '"request_id":"%s","method":%s,"route":"%s","status":%d,"ms":%.2f',
        request_id,
        json.dumps(method),
        route,
        status,
        seconds * 1000,
    )
