"""HTTP for uvicorn's server, with limits for every client and an answer for every request.

uvicorn's own protocol waits forever for a slow client, buffers heads of any size, drops good
requests that are followed by garbage, does not answer clients that have closed their side, and
accepts requests that other servers read differently. This protocol

- limits the size of a request's head and the time for each step of a client,
- rejects ambiguous requests, as problem+json,
- answers whatever was accepted, in order, then lets the client finish sending before it closes.

Time limits cost nothing per request: the worker calls `tick` on all connections at a fixed rate.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import cast
from urllib.parse import unquote

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from mlstack.web.asgi_exchange import Exchange, encode_answer, problem_parts
from mlstack.web.request_heads import (
    NEVER_IN_TRAILERS,
    OVERLOADED,
    TOO_SLOW,
    Headers,
    Rejection,
    check_head,
    split_target,
    too_large,
)
from mlstack.web.time_limits import EXCHANGE_SECONDS, STALL_SECONDS, TICK_SECONDS, UnreadAnswers

# A client must be able to finish sending, or it never reads the rejection.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 4 * 1024 * 1024

# Time for a request that is already on its way when the server stops.
_LAST_REQUEST_SECONDS = 0.5

_MAX_HEAD = 65536
_MAX_PIPELINED = 64

log = logging.getLogger(__name__)


class HttpProtocol(asyncio.Protocol):
    """One connection; see the module. uvicorn's server calls `shutdown`."""

    max_connections = 4096
    """How many connections a process has; more are rejected."""

    def __init__(self, config: Config, server_state: ServerState) -> None:
        self._application, self._server = config.loaded_app, server_state
        self._keep_alive_seconds = config.timeout_keep_alive
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        """The first one is being answered; the last one may still be received."""
        self._receiving = self._in_head = False
        self._target, self._headers = b"", Headers()
        self._head_bytes = self._discarded = 0
        self._unread = UnreadAnswers()
        self._rejection: Rejection | None = None
        # Whether nothing more is read: `deaf` by our choice, `ended` by the client's.
        self._deaf = self._ended = self._lingering = self._stopping = False
        self._patience = EXCHANGE_SECONDS
        self._age = self._quiet = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self.flow = FlowControl(self._transport)
        self.write = self._transport.write
        self._addresses = get_local_addr(self._transport), get_remote_addr(self._transport)
        connections = cast("set[HttpProtocol]", self._server.connections)
        connections.add(self)
        if len(connections) > self.max_connections:
            self._give_up(OVERLOADED)

    def connection_lost(self, _: Exception | None) -> None:
        """Tell those who wait for the client."""
        cast("set[HttpProtocol]", self._server.connections).discard(self)
        for exchange in self._exchanges:
            exchange.fail(ConnectionError("the client is gone"))
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        """Let answers wait until the client has read."""
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        """Go on."""
        self.flow.resume_writing()

    # Receiving.

    def data_received(self, data: bytes) -> None:
        """Parse what the client sends."""
        self._quiet = 0.0
        if self._deaf:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self._transport.close()
            return
        in_head = self._in_head
        try:
            self._parser.feed_data(data)
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

    def eof_received(self) -> bool:
        """Answer what was asked; return whether the connection stays open for that."""
        self._ended = True
        if self._receiving and not self._in_head:
            self._give_up(ConnectionError("the body ends early"))
        self._deaf = True
        return bool(self._exchanges)

    def on_message_begin(self) -> None:
        """Begin with the head of a request."""
        if self._exchanges and not self._exchanges[-1].keep_alive:
            raise Rejection("the request before was the last one")
        self._receiving = self._in_head = True
        self._target, self._headers = b"", []
        self._age, self._head_bytes = 0.0, 0

    def on_url(self, part: bytes) -> None:
        """Take a part of the request's target."""
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those after the body are dropped."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))
        elif name.lower() in NEVER_IN_TRAILERS:
            raise Rejection("a header after the body would change its meaning")

    def on_headers_complete(self) -> None:
        """Check the head, and pass the request on."""
        parser = self._parser
        version, method = parser.get_http_version(), parser.get_method().decode()
        awaits_continue = check_head(method, self._target, version, self._headers)
        if parser.should_upgrade():
            return
        self._in_head = False
        raw_path, query = split_target(self._target)
        path = raw_path.decode()
        server, client = self._addresses
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "method": method,
            "scheme": "http",
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": self._headers,
            "client": client,
            "server": server,
        }
        exchanges = self._exchanges
        keep_alive = (
            version == "1.1"
            and not self._stopping
            and len(exchanges) < _MAX_PIPELINED
            and parser.should_keep_alive()
        )
        exchange = Exchange(self, scope, keep_alive=keep_alive, awaits_continue=awaits_continue)
        exchanges.append(exchange)
        if len(exchanges) == 1:
            self._start(exchange)
        else:
            self.flow.pause_reading()

    def on_body(self, part: bytes) -> None:
        """Take a part of the body."""
        self._exchanges[-1].add(part)

    def on_message_complete(self) -> None:
        """End the body."""
        if not self._in_head:  # after a head that asks for an upgrade, it is called too
            self._receiving = False
            self._exchanges[-1].end()

    def _decline_upgrade(self, rest: bytes) -> None:
        """Parse a head again without its Upgrade header, which a server may ignore.

        The parser would take the body for the other protocol. Java's client sends such a header by
        default.
        """
        line = b"%b %b HTTP/1.1" % (self._parser.get_method(), self._target)
        kept = [b"%b: %b" % header for header in self._headers if header[0] != b"upgrade"]
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join((line, *kept, b"", rest)))

    def _give_up(self, reason: Exception) -> None:
        """Read nothing more; answer what came before, then the request that is at fault."""
        self._deaf = True
        if self._receiving and not self._in_head:
            failure = reason if isinstance(reason, OSError) else ConnectionError(str(reason))
            self._exchanges[-1].fail(failure)
        elif not self._exchanges or self._exchanges[-1].keep_alive:
            self._rejection = reason if isinstance(reason, Rejection) else TOO_SLOW
            if not self._exchanges:
                self._reject(self._rejection)
        self._receiving = False

    # Answering.

    def _start(self, exchange: Exchange) -> None:
        exchange.task = self._loop.create_task(exchange.run(self._application))
        # The loop itself has only weak references to its tasks.
        self._server.tasks.add(exchange.task)

    def forget(self, exchange: Exchange) -> None:
        """Drop an exchange that has ended; without an answer, the connection ends too."""
        self._server.tasks.discard(exchange.task)
        if not exchange.complete:
            self._transport.abort()

    def finish(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> None:
        """Send the first exchange's answer; go on with the next request, or wait for it."""
        self._server.total_requests += 1
        self._exchanges.popleft()
        if self._transport.is_closing():
            return
        self._answer(status, headers, body, last=last)
        self._unread.renew()
        self.flow.resume_reading()
        if self._exchanges:
            self._start(self._exchanges[0])
        elif self._rejection:
            self._reject(self._rejection)
        elif self._ended:
            self._transport.close()
        elif not self._receiving:
            self._age = 0.0
            self._patience = _LAST_REQUEST_SECONDS if self._stopping else self._keep_alive_seconds

    def _reject(self, rejection: Rejection) -> None:
        client = self._addresses[1]
        log.warning("rejected a request from %s: %s", client and client[0], rejection)
        self._answer(*problem_parts(rejection), last=True)

    def _answer(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, last: bool
    ) -> None:
        everything = (*self._server.default_headers, *headers)
        self._transport.write(encode_answer(status, everything, body, last=last))
        if not last:
            return
        self._receiving, self._deaf = False, True
        if self._ended:
            self._transport.close()
        else:
            # Close once the client has finished sending.
            self._lingering, self._age = True, 0.0
            self._transport.write_eof()

    # Time limits.

    def tick(self) -> None:
        """End what takes too long."""
        if self._unread.take_too_long(self._transport):
            self._transport.abort()
            return
        if self.flow.read_paused:
            return  # that nothing arrives is not the client's fault
        self._age += TICK_SECONDS
        self._quiet += TICK_SECONDS
        if self._lingering:
            if self._age > _LINGER_SECONDS:
                self._transport.close()
        elif self._receiving:
            if self._quiet > STALL_SECONDS or self._age > EXCHANGE_SECONDS:
                self._give_up(TimeoutError("the client is too slow"))
        elif not self._exchanges and self._age > self._patience:
            self._transport.close()

    def shutdown(self) -> None:
        """Answer what has been asked, and close."""
        self._stopping, self._patience = True, _LAST_REQUEST_SECONDS
        if self._exchanges:
            self._exchanges[-1].keep_alive = False
        elif not self._receiving:
            self._age = 0.0
