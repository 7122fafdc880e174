"""A double of the HTTP server, which can be told to misbehave."""

import contextlib
import json
import socket
import struct
import threading
import uuid
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.errors import InvalidCustomer
from tests.support.ports import free_port


@dataclass(frozen=True)
class Fault:
    """A fault in the next answer.

    Args:
        raw: Bytes sent as they are; None: none.
        kept: Whether the request is carried out all the same.
        hang: Whether it is kept waiting for an answer until the double stops.
        reset: Whether the connection is reset instead of closed.
    """

    raw: bytes | None = None
    kept: bool = False
    hang: bool = False
    reset: bool = False


def status(number: int, body: bytes = b"", **headers: str) -> Fault:
    """Make an answer with a status and a body of its own."""
    lines = [f"HTTP/1.1 {number} Whatever", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Fault("\r\n".join([*lines, "", ""]).encode() + body)


@dataclass
class Kept:
    """A prediction as the double keeps it.

    Args:
        customer: What was asked.
        prediction_id: What it was named.
        answered: How often it was answered in order.
    """

    customer: dict[str, Any]
    prediction_id: str
    answered: int = 0


@dataclass
class Book:
    """What a double was asked; outlives its restarts."""

    predictions: dict[str, Kept] = field(default_factory=dict)
    """By Idempotency-Key."""
    outcomes: dict[str, bool] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    connections: int = 0


class HttpDouble:
    """The double; a context manager that stops it, and may be entered again on its port.

    Args:
        contract: What it takes for a customer.
    """

    chance = 0.25
    """What it answers."""

    def __init__(self, contract: Contract) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.book = Book()
        self.faults: deque[Fault] = deque()
        self.contract = contract
        self.marginals = b"null"
        """What it answers to GET /marginals."""
        self.validator = CustomerValidator(contract)
        self.stopped = threading.Event()

    def __enter__(self) -> Self:
        self.stopped.clear()
        handler = type("Handler", (_Handler,), {"server_double": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, key: str | None, body: bytes) -> tuple[int, Any]:
        """Carry a request out, once for each key."""
        document = json.loads(body)
        if path == "/feedback":
            target = self.contract.target.name
            self.book.outcomes |= {one["prediction_id"]: one[target] for one in document}
            return 202, {"accepted": len(document)}
        try:
            customer = self.validator.validate(document)
        except InvalidCustomer as error:
            first = error.errors[0]
            fault = {"pointer": first.pointer, "code": first.code, "detail": first.detail}
            return 422, {"detail": "one error, see errors", "errors": [fault]}
        kept = self.book.predictions.setdefault(
            key or uuid.uuid4().hex, Kept(customer, str(uuid.uuid4()))
        )
        assert kept.customer == customer, "a key stands for two customers"
        return 200, {
            self.contract.answer: self.chance,
            "model_run_id": "a" * 32,
            "prediction_id": kept.prediction_id,
        }


class _Handler(BaseHTTPRequestHandler):
    server_double: ClassVar[HttpDouble]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server_double.book.connections += 1
        # An idle connection must not outlive the double.
        threading.Thread(target=self._cut_when_stopped, daemon=True).start()

    def _cut_when_stopped(self) -> None:
        self.server_double.stopped.wait()
        with contextlib.suppress(OSError):  # closed already
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_POST(self) -> None:
        double = self.server_double
        body = self.rfile.read(int(self.headers["Content-Length"]))
        double.book.requests.append(self.path)
        key = self.headers["Idempotency-Key"]
        fault = double.faults.popleft() if double.faults else None
        if fault is None or fault.kept:
            number, document = double.answer(self.path, key, body)
        if fault is None:
            content = json.dumps(document).encode()
            self.send_response(number)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if key in double.book.predictions:
                double.book.predictions[key].answered += 1
            self.wfile.write(content)
            return
        self.close_connection = True
        if fault.raw:
            self.wfile.write(fault.raw)
        if fault.hang:
            double.stopped.wait()
        if fault.reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def do_GET(self) -> None:
        double = self.server_double
        double.book.requests.append(self.path)
        if double.faults:
            self.close_connection = True
            self.wfile.write(double.faults.popleft().raw or b"")
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(double.marginals)))
        self.end_headers()
        self.wfile.write(double.marginals)

    def log_message(self, *_: object) -> None:
        """Log nothing."""
