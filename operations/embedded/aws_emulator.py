"""AWS emulator: moto's server, one request at a time.

Usage: python -m operations.embedded.aws_emulator HOST PORT

moto loses acknowledged Kinesis records when several are put at once. So each request is first
read from its connection and then handled under one lock: a slow client delays nobody else.

For each record that is put, moto also copies all sequence numbers of the shard to find the last
one. With 20,000 records that is half of the work, so it is replaced here.
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
    """Wraps a WSGI application so that it gets one complete request at a time.

    Args:
        application: What handles the requests.
    """

    def __init__(self, application: "WSGIApplication") -> None:
        self._application = application
        self._lock = Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Read the request, then wait for its turn."""
        environ["wsgi.input"] = BytesIO(get_input_stream(environ).read())
        environ["wsgi.input_terminated"] = True
        with self._lock:
            return list(self._application(environ, start_response))


def last_sequence_number(self: Shard) -> int:
    """Return the sequence number of a shard's newest record; 0: it has none."""
    return next(reversed(self.records), 0)


def main() -> None:
    """Serve until the process ends; everything is forgotten then."""
    host, port = sys.argv[1], int(sys.argv[2])
    Shard.get_max_sequence_number = last_sequence_number  # type: ignore[method-assign]
    application = OneAtATime(DomainDispatcherApplication(create_backend_app))
    run_simple(host, port, application, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
