"""gunicorn's threaded worker, with an end to every wait.

A thread of gunicorn's own worker waits for a slow body for ever, so that as many stalled
clients as there are threads would stop the server; and it does not say how long a request
waited, so that an overloaded server could only answer later and later. Also put right here:
a connection gets a thread when it has sent something, what a client sends before it has its
answer (pipelining) is not left lying, a closing connection holds up its own thread instead of
the whole worker, and a worker that is told to stop takes no new connections and waits for no
idle ones.
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
"""Key of the WSGI environment: how long the request waited for its turn."""

CLOSE = "mlstack.close_connection"
"""Key of the WSGI environment: what is left of the body cannot or shall not be read."""

EXCHANGE_SECONDS = 20.0
"""How long a thread gives to a request: to receive it, and to send its answer."""

STALL_SECONDS = 5.0
"""How long a thread waits for a client that sends nothing at all."""

_SEND_SECONDS = 5.0
"""What sending has at least, when receiving or scoring took its time."""

# A client that is still sending has to be let finish, or it never reads why it was refused.
_LINGER_SECONDS = 1.0
_LINGER_BYTES = 4 * 1024 * 1024


class _TooSlow(TimeoutError):
    """A client that is given up on."""

    def __init__(self) -> None:
        # gunicorn takes it for a connection that broke, which is no news for the log.
        super().__init__(errno.ECONNRESET, "the client is too slow")


class _Socket(socket.socket):
    """A client's socket whose every wait ends at a deadline."""

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
        """Says that no more is coming, and takes in what the client still sends."""
        self._lingered = True
        self.deadline = time.monotonic() + _LINGER_SECONDS
        received = 0
        try:
            super().shutdown(socket.SHUT_WR)
            while received < _LINGER_BYTES and (data := self.recv(65536)):
                received += len(data)
        except OSError:
            return  # the client is gone already, or keeps sending: either way this is the end

    def shutdown(self, how: int, /) -> None:
        if self._lingered:
            # gunicorn would linger once more, in the thread that accepts connections.
            raise OSError(errno.ENOTCONN, "shut down already")
        super().shutdown(how)


class Worker(ThreadWorker):  # type: ignore[misc]
    """See the module."""

    wsgi: Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._exchange = threading.local()

    def load_wsgi(self) -> None:
        """Tells the application how long a request waited, and hears when to close."""
        super().load_wsgi()
        app = self.wsgi

        def wsgi(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ[WAITED] = self._exchange.waited
            answer = app(environ, start_response)
            # Told to stop meanwhile: the client should know that this was the last answer here.
            if environ.get(CLOSE) or not self.alive:
                self._exchange.request.force_close()
            return answer

        self.wsgi = wsgi

    def enqueue_req(self, conn: TConn) -> None:
        """Queues a connection that has sent something for a thread."""
        if not isinstance(conn.sock, _Socket):
            conn.sock = _Socket(fileno=conn.sock.detach())
            self._wait_for_first_byte(conn)
            return
        conn.queued_at = time.monotonic()
        super().enqueue_req(conn)

    def _wait_for_first_byte(self, conn: TConn) -> None:
        """Gives a new connection no thread yet: browsers open some that they may never use."""
        conn.sock.settimeout(0.0)
        conn.timeout = time.monotonic() + EXCHANGE_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(
            conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn)
        )

    def handle(self, conn: TConn) -> Any:
        """Answers one request, in a thread, by the deadline."""
        begun = time.monotonic()
        self._exchange.waited = begun - conn.queued_at
        conn.sock.deadline = begun + EXCHANGE_SECONDS
        result = super().handle(conn)
        if result is False or not self.alive:
            conn.sock.linger()
        return result

    def handle_request(self, req: Request, conn: TConn) -> bool:
        """Hands a parsed request to the application."""
        self._exchange.request = req
        result: bool = super().handle_request(req, conn)
        return result

    def finish_request(self, conn: TConn, fs: "Future[Any]") -> None:
        """Goes on with the connection's next request if that is there already."""
        answered = not fs.cancelled() and fs.exception() is None and fs.result() is True
        if answered and self.alive and _has_more(conn):
            self.enqueue_req(conn)
        else:
            super().finish_request(conn, fs)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Told to stop: what is being answered still is."""
        if self.alive:
            self.method_queue.defer(self._stop_listening)
        super().handle_exit(sig, frame)

    def is_parent_alive(self) -> bool:
        """Whether the master lives; without it the port has to be free for the next one."""
        if super().is_parent_alive():
            return True
        self.alive = False
        self._stop_listening()
        return False

    def _stop_listening(self) -> None:
        """Takes in who is waiting at the door, closes it, and whatever is idle."""
        self.set_accept_enabled(False)
        for listener in self.sockets:
            taken = -1
            while taken != self.nr_conns:
                taken = self.nr_conns
                self.accept(listener)
            # gunicorn would keep it open to the end, and let new clients wait for nothing.
            listener.close()
        # What has just been asked on an idle connection is still answered.
        self.wait_for_and_dispatch_events(timeout=0)
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = 0.0
        self.murder_keepalived()
        self.murder_pending()


def _has_more(conn: TConn) -> bool:
    """Whether the next request's bytes came together with the last one's."""
    more: bool = conn.parser is not None and conn.parser.unreader.buf.getbuffer().nbytes > 0
    return more
