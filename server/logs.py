"""The server's logs: one line a request on stdout, everything else on stderr."""

import json
import logging
import sys

from mlstack.command_line import log_to_stderr

_access = logging.getLogger("server.access")


def set_up() -> None:
    """Direct the process's logs."""
    log_to_stderr()
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter('{"time":"%(asctime)s",%(message)s}'))
    _access.handlers = [handler]
    _access.propagate = False


def request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Log an answered request as one JSON object.

    Args:
        request_id: Letters, digits and `._-` only.
        method: As the client sent it.
        route: The route's template.
        status: Status of the answer.
        seconds: From the request's head to the answer.
    """
    _access.info(
        '"request_id":"%s","method":%s,"route":"%s","status":%d,"ms":%.2f',
        request_id,
        json.dumps(method),
        route,
        status,
        seconds * 1000,
    )
