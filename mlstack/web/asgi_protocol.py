"""uvicorn's HTTP protocol, with limits for every client and an answer for every request.

uvicorn's own waits forever for a slow client, buffers any head, gives up pipelined requests when
garbage follows them, does not answer clients that have closed their side, and accepts requests that
servers behind and before it may read differently. In addition, this protocol

- limits the size of a head and the time for each thing that a client does,
- rejects ambiguous requests, as problem+json,
- answers whatever was accepted, in order, then lets the client finish sending before it closes.

Time limits cost nothing per request: the worker calls `tick` on all connections at a fixed rate.
"""

import asyncio
import json
import logging
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from mlstack.web.problems import CONTENT_TYPE
from mlstack.web.request_heads import (
    NEVER_IN_TRAILERS,
    OVERLOADED,
    TOO_SLOW,
    Rejection,
    check_head,
    split_target,
    too_large,
)

if TYPE_CHECKING:
    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent

TICK_SECONDS = 0.25
"""How often `tick` is called."""

EXCHANGE_SECONDS = 20.0
"""Time limit for receiving a request, and for sending its answer."""

STALL_SECONDS = 5.0
"""Time limit for a client that neither sends nor reads."""

# A client must be able to finish sending, or it never reads the rejection.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 4 * 1024 * 1024

# Time for a request that is already on its way when the server stops.
_LAST_REQUEST_SECONDS = 0.5

_MAX_HEAD = 65536
_MAX_PIPELINED = 64

log = logging.getLogger(__name__)


class _Exchange(RequestResponseCycle):
    """One request and its answer."""

    failure: OSError | None = None
    """Why the rest of the body will not come."""

    async def receive(self) -> "ASGIReceiveEvent":
        """Return the next part of the body; raise `failure`."""
        message = await super().receive()
        if self.failure is not None:
            raise self.failure
        return message

    async def send(self, message: "ASGISendEvent") -> None:
        """Send a part of the answer."""
        if self.more_body and not self.response_started:
            # What is left of the body would be taken for the next request.
            self.keep_alive = False
        await super().send(message)


class HttpProtocol(HttpToolsProtocol):
    """See the module."""

    cycle: _Exchange
    """The latest request; those before it wait in `pipeline`, or are being answered."""

    max_connections = 4096
    """How many connections a process has; more are rejected."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unfinished = 0
        self._receiving = self._in_head = False
        self._head_bytes = 0
        self._rejection: Rejection | None = None
        # Whether nothing more is read: `deaf` by our choice, `ended` by the client's.
        self._deaf = self._ended = self._lingering = self._stopping = False
        self._discarded = 0
        self._patience = EXCHANGE_SECONDS
        self._age = self._quiet = self._unread_age = self._unread_quiet = 0.0
        self._unread = 0

    # What uvicorn's exchange needs of a transport, so that its `close` lingers.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin with a new connection."""
        super().connection_made(transport)
        self.write = transport.write
        self.is_closing = transport.is_closing
        if len(self.connections) > self.max_connections:
            self._give_up(OVERLOADED)

    def close(self) -> None:
        """Close after all that was written, once the client has finished sending."""
        self._deaf = True
        if self._ended:
            self.transport.close()
        elif not self._lingering and not self.transport.is_closing():
            self._lingering, self._age = True, 0.0
            self.flow.resume_reading()
            self.transport.write_eof()

    # Receiving.

    def data_received(self, data: bytes) -> None:
        """Parse what the client sends."""
        self._quiet = 0.0
        if self._deaf:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.close()
            return
        in_head = self._in_head
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, Rejection):
                raise
            self._give_up(error.__context__)
        except httptools.HttpParserError as error:
            self._give_up(Rejection(f"the request is malformed: {error}"))
        if in_head and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD:
                self._give_up(too_large())

    def eof_received(self) -> bool:  # type: ignore[override] # uvicorn never stays open
        """Answer what was asked; return whether the connection stays open for that."""
        self._ended = True
        if self._receiving and not self._in_head:
            self._give_up(ConnectionError("the body ends early"))
        self._deaf = True
        return self._unfinished > 0

    def on_message_begin(self) -> None:
        """Begin with the head of a request."""
        if self.cycle is not None and not self.cycle.keep_alive:
            raise Rejection("the request before was the last one")
        super().on_message_begin()
        self._receiving = self._in_head = True
        self._age, self._head_bytes = 0.0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after the body are dropped."""
        if self._in_head:
            self.headers.append((name.lower(), value.rstrip(b" \t")))
        elif name.lower() in NEVER_IN_TRAILERS:
            raise Rejection("a header after the body would change its meaning")

    def on_headers_complete(self) -> None:
        """Check the head, and pass the request on."""
        version = self.parser.get_http_version()
        method = self.parser.get_method().decode("ascii")
        expects_continue = check_head(method, self.url, version, self.headers)
        if self.parser.should_upgrade():
            return
        scope = cast("MutableMapping[str, Any]", self.scope)
        scope["method"], scope["http_version"] = method, version
        raw_path, scope["query_string"] = split_target(self.url)
        scope["raw_path"], path = raw_path, raw_path.decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        self._in_head = False
        self._unfinished += 1
        self.cycle = _Exchange(
            scope=self.scope,
            transport=cast("asyncio.Transport", self),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=version == "1.1"
            and self.parser.should_keep_alive()
            and not self._stopping
            and self._unfinished < _MAX_PIPELINED,
            on_response=self.on_response_complete,
        )
        if self._unfinished == 1:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_message_complete(self) -> None:
        """End the body."""
        if not self._in_head:  # after a head that asks for an upgrade, it is called too
            self._receiving = False
            super().on_message_complete()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse a head again without its Upgrade header, which a server may ignore.

        The parser would take the body for the other protocol. Java's client sends such a header by
        default.
        """
        line = b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)
        kept = [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join((line, *kept, b"", rest)))

    def _give_up(self, reason: Exception) -> None:
        """Read nothing more; answer what came before, then the request that is at fault."""
        self._deaf = True
        if self._receiving and not self._in_head:
            timely = reason if isinstance(reason, OSError) else ConnectionError(str(reason))
            self.cycle.failure, self.cycle.keep_alive = timely, False
            self.cycle.message_event.set()
        elif self.cycle is None or self.cycle.keep_alive:
            self._rejection = reason if isinstance(reason, Rejection) else TOO_SLOW
            if not self._unfinished:
                self._reject(self._rejection)
        self._receiving = False

    # Answering.

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        self.server_state.total_requests += 1
        self._unfinished -= 1
        self._unread_age = 0.0
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._rejection:
            self._reject(self._rejection)
        elif self._ended:
            self.transport.close()
        elif not self._receiving:
            self._age = 0.0
            self._patience = _LAST_REQUEST_SECONDS if self._stopping else self.timeout_keep_alive

    def _reject(self, rejection: Rejection) -> None:
        """Answer with a problem, and close."""
        problem = rejection.problem
        log.warning("rejected a request from %s: %s", self.client and self.client[0], problem)
        body = json.dumps(problem.document()).encode()
        headers = {
            "content-type": CONTENT_TYPE,
            "content-length": str(len(body)),
            "connection": "close",
            **problem.headers,
        }
        lines = [*self.server_state.default_headers]
        lines += [(name.encode(), value.encode()) for name, value in headers.items()]
        head = b"".join(b"%s: %s\r\n" % line for line in lines)
        self.write(STATUS_LINE[problem.kind.status] + head + b"\r\n" + body)
        self.close()

    # Time limits.

    def tick(self) -> None:
        """End what takes too long."""
        if self._reads_too_slowly():
            self.transport.abort()
            return
        if self.flow.read_paused:
            return  # that nothing arrives is not the client's fault
        self._age += TICK_SECONDS
        self._quiet += TICK_SECONDS
        if self._lingering:
            if self._age > _LINGER_SECONDS:
                self.transport.close()
        elif self._receiving:
            if self._quiet > STALL_SECONDS or self._age > EXCHANGE_SECONDS:
                self._give_up(TimeoutError("the client is too slow"))
        elif not self._unfinished and self._age > self._patience:
            self.transport.close()

    def _reads_too_slowly(self) -> bool:
        unread = self.transport.get_write_buffer_size()
        if not unread:
            self._unread = 0
            self._unread_age = self._unread_quiet = 0.0
            return False
        self._unread_age += TICK_SECONDS
        stalls = unread >= self._unread
        self._unread_quiet = self._unread_quiet + TICK_SECONDS if stalls else 0.0
        self._unread = unread
        return self._unread_quiet > STALL_SECONDS or self._unread_age > EXCHANGE_SECONDS

    def shutdown(self) -> None:
        """Answer what has been asked, and close."""
        self._stopping, self._patience = True, _LAST_REQUEST_SECONDS
        if self._unfinished:
            if not self.cycle.response_started:
                self.cycle.keep_alive = False
        elif not self._receiving:
            self._age = 0.0
