"""AWS emulator: moto's server, one request at a time.

Usage: python -m operations.embedded.aws_emulator HOST PORT

moto loses Kinesis records that it has acknowledged when several are put at once. So every
request is read from its connection first and then handled behind one lock: a client that is
slow to send, or opens a connection and sends nothing, holds up nobody.

moto also copies all sequence numbers of a shard for each record that is put, to look at the
last one: with 20,000 records in it that is half of the work of a put. Here it only looks.
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
    """A WSGI application that hands requests to another one by one, each complete.

    Args:
        application: What handles the requests.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._lock = Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Reads the request, then waits for its turn."""
        environ["wsgi.input"] = BytesIO(get_input_stream(environ).read())
        environ["wsgi.input_terminated"] = True
        with self._lock:
            return list(self._application(environ, start_response))


def last_sequence_number(self: Shard) -> int:
    """Of the newest record that a shard has; 0: it has none."""
    return next(reversed(self.records), 0)


def main() -> None:
    """Serves until the process is ended; everything is forgotten then."""
    host, port = sys.argv[1], int(sys.argv[2])
    Shard.get_max_sequence_number = last_sequence_number  # type: ignore[method-assign]
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple(host, port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
