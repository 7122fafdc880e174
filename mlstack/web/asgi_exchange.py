"""One HTTP request and its answer, as an ASGI application sees them."""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from mlstack.web.flask_bridge import AsgiApplication, Scope
from mlstack.web.problems import CONTENT_TYPE, Problem, http_kind

if TYPE_CHECKING:
    from mlstack.web.asgi_protocol import HttpProtocol

_MAX_UNREAD = 65536
"""Bytes of a body that the application has not read, after which no more are received."""

_STATUS_LINES = {
    int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_INTERNAL_ERROR = Problem(
    http_kind(500, "internal_error"), "the server's log has the details; please report it"
)

log = logging.getLogger(__name__)


class Exchange:
    """A request whose head has been received; its body follows.

    The application sends an answer with its length in its head and its body in one piece.
    """

    __slots__ = (
        *("_answer", "_awaits_continue", "_body", "_connection", "_failure", "_more_body"),
        *("_news", "_waiter", "complete", "keep_alive", "scope", "task"),
    )

    def __init__(
        self, connection: "HttpProtocol", scope: Scope, *, keep_alive: bool, awaits_continue: bool
    ) -> None:
        self._connection, self.scope = connection, scope
        self.keep_alive, self._awaits_continue = keep_alive, awaits_continue
        self._body: bytes | bytearray = b""
        self._failure: OSError | None = None
        self._news = False
        self._waiter: asyncio.Future[None] | None = None
        self._answer: Mapping[str, Any] | None = None
        self._more_body = True
        self.complete = False
        self.task: asyncio.Task[None]
        """Runs the application; set when it starts."""

    def add(self, part: bytes) -> None:
        """Add a part of the body."""
        if not self._body:
            self._body = part
        else:
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += part
        if len(self._body) > _MAX_UNREAD:
            self._connection.flow.pause_reading()
        self._tell()

    def end(self) -> None:
        """End the body."""
        self._more_body = False
        self._tell()

    def fail(self, failure: OSError) -> None:
        """Say why the rest of the body will not come; this request is the connection's last."""
        self._failure, self.keep_alive = failure, False
        self._tell()

    def _tell(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def run(self, application: AsgiApplication) -> None:
        """Let the application answer; answer for it if it fails."""
        try:
            await application(self.scope, self.receive, self.send)
        except Exception:
            log.exception("unexpected error in %s %s", self.scope["method"], self.scope["path"])
            if not self.complete:
                await self._send(*problem_parts(_INTERNAL_ERROR))
        finally:
            self._connection.forget(self)

    async def receive(self) -> Mapping[str, Any]:
        """Return what has arrived of the body. Raises OSError if the rest of it will not come."""
        if not self._news:
            if self._awaits_continue:
                self._awaits_continue = False
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._connection.flow.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._news = False
        if self._failure is not None:
            raise self._failure
        body, self._body = self._body, b""
        return {"type": "http.request", "body": bytes(body), "more_body": self._more_body}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send the answer, once it is complete."""
        if self._answer is None:
            self._answer = message
            return
        if self.complete or message.get("more_body"):
            raise RuntimeError("an answer has one body")
        await self._send(self._answer["status"], self._answer["headers"], message["body"])

    async def _send(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        connection = self._connection
        if connection.flow.write_paused:
            await connection.flow.drain()
        # What is left of a body would be taken for the next request.
        self.keep_alive = self.keep_alive and not self._more_body
        self.complete = True
        content = b"" if self.scope["method"] == "HEAD" else body
        connection.finish(status, headers, content, last=not self.keep_alive)


def problem_parts(problem: Problem) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return a problem's status, headers and body."""
    body = json.dumps(problem.document()).encode()
    headers = {"content-type": CONTENT_TYPE, "content-length": str(len(body)), **problem.headers}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return problem.kind.status, encoded, body


def encode_answer(
    status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, last: bool
) -> bytes:
    """Return an answer's bytes; the `last` one says that the connection is closed after it."""
    head = b"".join([b"%b: %b\r\n" % header for header in headers])
    end = b"connection: close\r\n\r\n" if last else b"\r\n"
    return b"".join((_STATUS_LINES[status], head, end, body))
