"""A proxy that notes what it is asked for, and refuses it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class RefusingProxy:
    """What the proxy was asked for, as in the request lines: `host:port` or a URL."""

    url: str
    asked: list[str] = field(default_factory=list)


@contextmanager
def refusing_proxy() -> Iterator[RefusingProxy]:
    """Run a proxy that answers everything with 403."""

    class Handler(BaseHTTPRequestHandler):
        def _refuse(self) -> None:
            proxy.asked.append(self.path)
            self.send_error(403)

        do_CONNECT = do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = _refuse  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy = RefusingProxy(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
