"""Load in an open loop: requests are due at fixed times, whether earlier ones are answered or not.

A request's latency counts from the time at which it was due. A server that stalls thus delays all
requests that were due meanwhile, as it does to callers who do not wait for each other.
"""

import gc
import math
import select
import socket
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import cycle
from typing import NamedTuple, Self

from benchmarks.serving.results import Latencies, Measured, NotMeasurable

_CONNECTIONS = 64
_GRACE_SECONDS = 30.0
"""How long answers are awaited after the last request was due."""
_READ_BYTES = 64 * 1024


def send_at_rate(
    port: int, path: str, bodies: Sequence[bytes], rate: float, seconds: float
) -> Measured:
    """Send requests with these bodies in turn, `rate` a second, to a server on this machine.

    All requests are due at equal intervals. Each waits for a free connection of 64. Raises
    NotMeasurable if the server closes connections, or answers without a Content-Length.
    """
    requests = cycle([_request(port, path, body) for body in bodies])
    begun = time.monotonic() + 0.01
    due = deque(begun + number / rate for number in range(max(1, int(rate * seconds))))
    total, end = len(due), due[-1] + _GRACE_SECONDS
    taken: list[float] = []
    errors = 0
    with ExitStack() as stack, _no_garbage_collection():
        free = [stack.enter_context(_Connection(port)) for _ in range(_CONNECTIONS)]
        busy: dict[int, _Connection] = {}
        while (due or busy) and (now := time.monotonic()) < end:
            while due and free and due[0] <= now:
                connection = free.pop()
                connection.send(next(requests), due.popleft())
                busy[connection.fileno()] = connection
            # select, because its timeout is exact to a microsecond; that of epoll is a millisecond.
            wake = due[0] if due and free else end
            for each in select.select(list(busy), [], [], max(0.0, wake - now))[0]:
                connection = busy.pop(each)
                status = connection.receive()
                if status is None:
                    busy[connection.fileno()] = connection
                    continue
                taken.append(time.monotonic() - connection.due)
                errors += status // 100 != 2  # noqa: PLR2004 - HTTP's class of success
                free.append(connection)
        seconds_taken = time.monotonic() - begun
    unanswered = total - len(taken)
    return Measured(
        requests=total,
        seconds=seconds_taken,
        errors=errors + unanswered,
        unanswered=unanswered,
        # Those without an answer have waited at least so long.
        latencies=latencies(taken + [_GRACE_SECONDS] * unanswered),
    )


def latencies(seconds: Sequence[float]) -> Latencies:
    """Return the percentiles, in milliseconds, of durations in seconds (at least one).

    A percentile is the smallest duration that this share of them does not exceed.
    """
    ordered = sorted(seconds)
    p50, p99 = (ordered[math.ceil(len(ordered) * per / 100) - 1] * 1000 for per in (50, 99))
    return Latencies(p50=p50, p99=p99)


class _Connection:
    """A connection with at most one request under way; it is opened when it is needed."""

    def __init__(self, port: int) -> None:
        self.due = 0.0
        self._port = port
        self._socket: socket.socket | None = None
        self._request = self._received = b""
        self._used = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def fileno(self) -> int:
        """Return the descriptor of the open socket."""
        return self._open().fileno()

    def send(self, request: bytes, due: float) -> None:
        """Send a request that was due at this time."""
        self.due, self._request, self._received = due, request, b""
        with suppress(ConnectionError):  # receive finds the end of the connection
            self._open().sendall(request)

    def receive(self) -> int | None:
        """Read what has come; return the status once the answer is complete.

        Raises NotMeasurable if the server closes a connection without an answer. It may do so
        between two requests: then the request is sent again, as HTTP allows.
        """
        try:
            part = self._open().recv(_READ_BYTES)
        except ConnectionError:
            part = b""
        self._received += part
        if not part:
            if self._received or not self._used:
                raise NotMeasurable("the server closed a connection without an answer")
            self._close()
            self.send(self._request, self.due)
            return None
        answer = read_answer(self._received)
        if answer is None:
            return None
        self._used = True
        if not answer.stays_open:
            self._close()
        return answer.status

    def _open(self) -> socket.socket:
        if self._socket is None:
            address = ("127.0.0.1", self._port)
            self._socket = socket.create_connection(address, timeout=_GRACE_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._used = False
        return self._socket

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class HttpAnswer(NamedTuple):
    """The head of a complete answer."""

    status: int
    stays_open: bool
    """Whether the connection takes another request."""


def read_answer(received: bytes) -> HttpAnswer | None:
    """Read an answer; return None if more of it has to come.

    Raises NotMeasurable if it has no Content-Length.
    """
    head, separator, body = received.partition(b"\r\n\r\n")
    if not separator:
        return None
    first, *lines = head.lower().split(b"\r\n")
    headers = dict(line.split(b":", 1) for line in lines)
    if b"content-length" not in headers:
        raise NotMeasurable(f"an answer without Content-Length: {head[:300]!r}")
    if len(body) < int(headers[b"content-length"]):
        return None
    return HttpAnswer(int(first.split()[1]), headers.get(b"connection", b"").strip() != b"close")


def _request(port: int, path: str, body: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
