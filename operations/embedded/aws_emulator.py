"""Emulate AWS with moto's server, handling one request at a time.

Usage: python -m operations.embedded.aws_emulator HOST PORT

moto loses acknowledged Kinesis records when several are put concurrently. So each request is first
read completely and then handled under a lock; a slow client does not delay others. For each put,
moto also copies all sequence numbers of the shard to find the last one. At 20,000 records that is
half of the work, so this module replaces that code.
"""

import sys
from collections.abc import Iterable
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING

from moto.kinesis.models import Shard
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import run_simple
from werkzeug.wsgi import get_input_stream

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class OneAtATime:
    """A WSGI middleware that passes on one complete request at a time."""

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._lock = Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Read the request, then handle it under the lock."""
        environ["wsgi.input"] = BytesIO(get_input_stream(environ).read())
        environ["wsgi.input_terminated"] = True
        with self._lock:
            return list(self._application(environ, start_response))


def last_sequence_number(self: Shard) -> int:
    """Return the sequence number of a shard's newest record; 0 if it has none."""
    return next(reversed(self.records), 0)


def main() -> None:
    """Serve until the process ends; data is kept only in memory."""
    host, port = sys.argv[1], int(sys.argv[2])
    Shard.get_max_sequence_number = last_sequence_number  # type: ignore[method-assign]
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple(host, port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
