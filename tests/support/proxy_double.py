"""A proxy that notes what it is asked for, and refuses it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.support.http_server import serving


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

    with serving(Handler) as port:
        proxy = RefusingProxy(f"http://127.0.0.1:{port}")
        yield proxy
