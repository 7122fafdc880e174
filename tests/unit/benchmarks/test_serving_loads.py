"""The loads of the serving benchmark: schedule, latencies, what wrk prints."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from benchmarks.serving.closed_loop import figures
from benchmarks.serving.open_loop import latencies, read_answer, send_at_rate
from benchmarks.serving.results import NotMeasurable

STALL_SECONDS = 0.2
ANSWER = b"HTTP/1.1 %d OK\r\nContent-Length: 2\r\n\r\n{}"


class _Double:
    """A server that answers each request, the first one late."""

    def __init__(self, answer: bytes = ANSWER % 200, *, stays_open: bool = True) -> None:
        self.bodies: list[bytes] = []
        self._answer, self._stays_open, self._lock = answer, stays_open, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while request := connection.recv(65536):
                with self._lock:  # all connections wait for the one that stalls
                    if not self.bodies:
                        time.sleep(STALL_SECONDS)
                    self.bodies.append(request.partition(b"\r\n\r\n")[2])
                connection.sendall(self._answer)
                if not self._stays_open:
                    return


@pytest.fixture
def server() -> Iterator[_Double]:
    double = _Double()
    yield double
    double.close()


def test_latency_counts_from_the_time_due(server: _Double) -> None:
    """A stall delays each request that was due meanwhile, not only the one that met it."""
    found = send_at_rate(server.port, "/predict", [b"1", b"2"], rate=200, seconds=0.3)
    assert (found.requests, found.errors) == (60, 0)
    # 40 of 60 requests were due during the stall: half of them waited more than half of it. How
    # much more depends on the machine.
    assert found.latencies.p50 > STALL_SECONDS * 1000 * 0.2
    assert found.latencies.p99 > STALL_SECONDS * 1000 * 0.8


def test_open_loop_sends_the_bodies_in_turn(server: _Double) -> None:
    """Every body is sent as often as any other."""
    send_at_rate(server.port, "/predict", [b"1", b"2"], rate=100, seconds=0.1)
    assert sorted(server.bodies) == [b"1"] * 5 + [b"2"] * 5


def test_open_loop_counts_refusals() -> None:
    """An answer other than 2xx is an error."""
    double = _Double(ANSWER % 503)
    found = send_at_rate(double.port, "/predict", [b"1"], rate=100, seconds=0.05)
    double.close()
    assert (found.requests, found.errors, found.answered) == (5, 5, 0)


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_open_loop_opens_closed_connections_again(header: bytes) -> None:
    """A server that keeps no connections open, announced or not, is measured all the same."""
    answer = (ANSWER % 200).replace(b"Content", header + b"Content")
    double = _Double(answer, stays_open=False)
    found = send_at_rate(double.port, "/predict", [b"1"], rate=400, seconds=0.5)
    double.close()
    assert (found.requests, found.errors, len(double.bodies)) == (200, 0, 200)


def test_answer_is_complete_with_its_body() -> None:
    """Parts of an answer are awaited; one of unknown length cannot be measured."""
    answer = ANSWER % 200
    assert [read_answer(answer[:cut]) for cut in (0, 20, len(answer) - 1)] == [None] * 3
    assert read_answer(answer) == (200, True)
    with pytest.raises(NotMeasurable, match="Content-Length"):
        read_answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")


def test_percentiles_are_measured_values() -> None:
    """99 of 100 requests are no slower than p99."""
    found = latencies([number / 1000 for number in range(100, 0, -1)])
    assert (found.p50, found.p99) == (50, 99)
    assert latencies([0.004]).p99 == 4


def test_figures_of_wrk_are_read() -> None:
    """Requests without an answer count as requests and as errors."""
    output = (
        "Running 2s test\n  Non-2xx or 3xx responses: 3\n"
        'figures {"requests": 100, "microseconds": 2000000, "refused": 3, "unanswered": 2, '
        '"p50": 900.0, "p99": 4500.0}\n'
    )
    found = figures(output, rows=1000)
    assert (found.requests, found.errors, found.answered) == (102, 5, 97)
    assert found.per_second == 97 * 1000 / 2
    assert (found.latencies.p50, found.latencies.p99) == (0.9, 4.5)


def test_wrk_without_figures_is_no_measurement() -> None:
    """A script of wrk's that fails is not taken for a server without answers."""
    with pytest.raises(NotMeasurable, match="unable to connect"):
        figures("unable to connect to 127.0.0.1:1", rows=1)
