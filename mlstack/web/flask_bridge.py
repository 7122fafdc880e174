"""Answer ASGI requests with a WSGI application, whose threads never wait for a client.

The event loop reads the body and sends the answer. A thread only runs the application, so slow
clients, however many, take none.
"""

import asyncio
import io
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApplication = Callable[[Scope, Receive, Send], Awaitable[None]]
WsgiApplication = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

WAITED = "mlstack.waited_seconds"
"""WSGI environment key: how many seconds the request waited for its turn."""

_BODYLESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


class BodyTooLargeError(OSError):
    """The body is larger than the service accepts, and was not read to its end."""


class TooManyBodiesError(OSError):
    """So many bodies are being received that they would fill the memory."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, or why it is incomplete.

    `failure` is BodyTooLargeError, TooManyBodiesError, TimeoutError (it came too slowly) or another
    OSError (it ended early, or its chunks are malformed); there is no `data` then.
    """

    data: bytes
    failure: OSError | None = None


MAX_UNFINISHED = 64 * 1024 * 1024
"""Bytes that a process keeps of bodies which are still being received."""

_unfinished = 0


async def read_body(scope: Scope, receive: Receive, limit: int) -> Body:
    """Read a body of at most `limit` bytes; the protocol sets the time limit.

    A body that declares more is not read at all.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            return Body(b"", BodyTooLargeError())
    try:
        part, more = await _receive_part(receive)
        if len(part) > limit:
            return Body(b"", BodyTooLargeError())
        return Body(await _read_rest(part, receive, limit) if more else part)
    except OSError as failure:
        return Body(b"", failure)


async def _receive_part(receive: Receive) -> tuple[bytes, bool]:
    """Return a part of a body, and whether there is more."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ConnectionError("the client is gone")
    return message.get("body", b""), message.get("more_body", False)


async def _read_rest(part: bytes, receive: Receive, limit: int) -> bytes:
    global _unfinished  # noqa: PLW0603 - the memory is the process's, whoever reads
    body, more = bytearray(), True
    try:
        while True:
            body += part
            _unfinished += len(part)
            if len(body) > limit:
                raise BodyTooLargeError
            if not more:
                return bytes(body)
            if _unfinished > MAX_UNFINISHED:
                raise TooManyBodiesError
            part, more = await _receive_part(receive)
    finally:
        _unfinished -= len(body)


class FlaskBridge:
    """An ASGI application that answers with a WSGI application.

    Args:
        wsgi: The application. It reads a body that failed as one that raises the failure.
        threads: How many requests it answers at once; others wait, see `WAITED`.
        max_body: Returns, for a path, the size in bytes up to which a body is read. A larger one is
            not read further, so that the answer does not wait for it.
    """

    def __init__(self, wsgi: WsgiApplication, threads: int, max_body: Callable[[str], int]) -> None:
        self._wsgi, self._max_body = wsgi, max_body
        # It starts its threads when they are needed, so after the fork.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body and answer."""
        limit = self._max_body(scope["path"])
        await self.answer(scope, await read_body(scope, receive, limit), send)

    async def answer(self, scope: Scope, body: Body, send: Send, waited: float = 0.0) -> None:
        """Answer a request whose body has been read, and which has waited for some seconds."""
        for message in await self.ask(scope, body, waited):
            await send(message)

    async def ask(self, scope: Scope, body: Body, waited: float) -> list[dict[str, Any]]:
        """Return the messages of the answer, without sending them; see `answer`."""
        loop = asyncio.get_running_loop()
        asked = time.monotonic() - waited

        def run() -> list[dict[str, Any]]:
            return self.ask_now(scope, body, time.monotonic() - asked)

        return await loop.run_in_executor(self._pool, run)

    def ask_now(self, scope: Scope, body: Body, waited: float) -> list[dict[str, Any]]:
        """Return the messages of the answer, made in this thread; see `answer`."""
        environ = _environ(scope, body)
        environ[WAITED] = waited
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started[:] = int(status[:3]), headers

        parts = self._wsgi(environ, start_response)
        try:
            content = b"".join(parts)
        finally:
            if close := getattr(parts, "close", None):
                close()
        status, given = started
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in given]
        if status not in _BODYLESS and all(name != b"content-length" for name, _ in headers):
            headers.append((b"content-length", b"%d" % len(content)))
        return [
            {"type": "http.response.start", "status": status, "headers": headers},
            {"type": "http.response.body", "body": content},
        ]


class _FailedInput(io.RawIOBase):
    """A body that cannot be read."""

    def __init__(self, failure: OSError) -> None:
        self._failure = failure

    def read(self, _: int = -1, /) -> bytes:
        raise self._failure


def _environ(scope: Scope, body: Body) -> dict[str, Any]:
    """Build the WSGI environment."""
    host, port = scope["server"] or ("", None)
    client, client_port = scope["client"] or ("", 0)
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port or 80),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": _FailedInput(body.failure) if body.failure else io.BytesIO(body.data),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # it would be taken for the header with a hyphen
        name = raw_name.decode("latin-1").upper().replace("-", "_")
        key = name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
        value = raw_value.decode("latin-1")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    if body.failure is None:
        # The body is no longer chunked.
        environ["CONTENT_LENGTH"] = str(len(body.data))
        environ.pop("HTTP_TRANSFER_ENCODING", None)
    return environ
