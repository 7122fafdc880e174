"""gunicorn's threaded worker, with a time limit for every wait.

A thread of gunicorn's own worker waits forever for a slow body, so one stalled client per thread
stops the server. That worker also does not report how long a request waited, so an overloaded
server could only answer later and later. In addition, this worker

- gives a connection a thread only once it has sent something,
- answers requests that a client sends before it has received its last answer (pipelining),
- lets a closing connection block its own thread instead of the whole worker,
- accepts no new connections and does not wait for idle ones once it must stop.
"""

import errno
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.http.message import Request
from gunicorn.workers.gthread import TConn, ThreadWorker

WAITED = "mlstack.waited_seconds"
"""WSGI environment key: how long the request waited for its turn."""

CLOSE = "mlstack.close_connection"
"""WSGI environment key: close the connection, because the rest of the body is not read."""

EXCHANGE_SECONDS = 20.0
"""Time limit for receiving a request and sending its answer."""

STALL_SECONDS = 5.0
"""Time limit for a client that sends nothing."""

_SEND_SECONDS = 5.0
"""Minimum time limit for sending, however long receiving and scoring took."""

# A client must be able to finish sending, or it never reads the rejection.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 4 * 1024 * 1024


class _TooSlow(TimeoutError):
    """The client is too slow."""

    def __init__(self) -> None:
        # gunicorn treats this as a broken connection, which it does not log.
        super().__init__(errno.ECONNRESET, "the client is too slow")


class _Socket(socket.socket):
    """A client's socket with a deadline for every wait."""

    deadline = 0.0
    _lingered = False

    def setblocking(self, flag: bool, /) -> None:  # noqa: FBT001 - as the class above has it
        self.settimeout(EXCHANGE_SECONDS if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise _TooSlow
        self.settimeout(min(remaining, STALL_SECONDS))
        try:
            return super().recv(bufsize, flags)
        except TimeoutError:
            raise _TooSlow from None

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        if self.gettimeout() != 0.0:
            self.settimeout(max(_SEND_SECONDS, self.deadline - time.monotonic()))
        super().sendall(data, flags)

    def linger(self) -> None:
        """Shut down sending, and read what the client still sends."""
        self._lingered = True
        self.deadline = time.monotonic() + _LINGER_SECONDS
        received = 0
        try:
            super().shutdown(socket.SHUT_WR)
            while received < _LINGER_BYTES and (data := self.recv(65536)):
                received += len(data)
        except OSError:
            return  # the client is gone or keeps sending

    def shutdown(self, how: int, /) -> None:
        if self._lingered:
            # gunicorn would linger again, in the thread that accepts connections.
            raise OSError(errno.ENOTCONN, "shut down already")
        super().shutdown(how)


class Worker(ThreadWorker):  # type: ignore[misc]
    """See the module."""

    wsgi: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = threading.local()

    def load_wsgi(self) -> None:
        """Pass on how long a request waited, and whether to close the connection."""
        super().load_wsgi()
        app = self.wsgi

        def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ[WAITED] = self._exchange.waited
            answer = app(environ, start_response)
            # The client must know that this was the last answer, even if the stop began meanwhile.
            if environ.get(CLOSE) or not self.alive:
                self._exchange.request.force_close()
            return answer

        self.wsgi = wsgi

    def enqueue_req(self, conn: TConn) -> None:
        """Queue a connection that has sent something."""
        if not isinstance(conn.sock, _Socket):
            conn.sock = _Socket(fileno=conn.sock.detach())
            self._wait_for_first_byte(conn)
            return
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def _wait_for_first_byte(self, conn: TConn) -> None:
        """Watch a new connection without a thread: browsers open unused ones."""
        conn.sock.settimeout(0.0)
        conn.timeout = time.monotonic() + EXCHANGE_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(
            conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
        )

    def handle(self, conn: TConn) -> Any:
        """Answer one request in a thread, within the time limit."""
        begun = time.monotonic()
        self._exchange.waited = begun - conn.queued_at
        conn.sock.deadline = begun + EXCHANGE_SECONDS
        result = super().handle(conn)
        if result is False or not self.alive:
            conn.sock.linger()
        return result

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Pass a parsed request to the application."""
        self._exchange.request = req
        result: bool = super().handle_request(req, conn)
        return result

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Continue with the connection's next request if it has already arrived."""
        answered = not fs.cancelled() and fs.exception() is None and fs.result() is True
        if answered and self.alive and _has_more(conn):
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop on a signal; requests in progress are still answered."""
        if self.alive:
            self.method_queue.defer(self._stop_listening)
        super().handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Whether the master is alive; if not, free the port for the next one."""
        if super().is_parent_alive():
            return True
        self.alive = False
        self._stop_listening()
        return False

    def _stop_listening(self) -> None:
        """Accept waiting connections, then close the port and all idle connections."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            taken = -1
            while taken != self.nr_conns:
                taken = self.nr_conns
                self.accept(listener)
            # gunicorn would keep it open until the end, and new clients would wait in vain.
            listener.close()
        # A request that has just arrived on an idle connection is still answered.
        self.wait_for_and_dispatch_events(timeout=0)
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = 0.0
        self.murder_keepalived()
        self.murder_pending()


def _has_more(conn: TConn) -> bool:
    """Whether part of the next request has already been received."""
    more: bool = conn.parser is not None and conn.parser.unreader.buf.getbuffer().nbytes > 0
    return more
