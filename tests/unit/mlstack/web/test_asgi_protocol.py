"""The HTTP protocol, with a transport and a clock of the test."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from mlstack.web.asgi_protocol import HttpProtocol
from mlstack.web.flask_bridge import Receive, Scope, Send, read_body
from mlstack.web.time_limits import EXCHANGE_SECONDS, STALL_SECONDS, TICK_SECONDS

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


class Transport:
    """What a client of the test sees."""

    def __init__(self) -> None:
        self.sent = b""
        self.unread = 0
        self.half_closed = self.closed = self.aborted = self.paused = False

    def get_extra_info(self, _: str) -> None:
        return None

    def get_write_buffer_size(self) -> int:
        return self.unread

    def write(self, data: bytes) -> None:
        assert not self.half_closed
        self.sent += data

    def write_eof(self) -> None:
        self.half_closed = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Connection:
    """A connection to an application that answers with what it was sent."""

    def __init__(self, app: Callable[..., Awaitable[None]] | None = None) -> None:
        self.bodies: list[bytes | str] = []
        self.scopes: list[Scope] = []
        self.turn = asyncio.Event()
        self.turn.set()
        config = Config(
            app or self.echo,
            interface="asgi3",
            log_config=None,
            proxy_headers=False,
            timeout_keep_alive=75,
        )
        config.load()
        self.server = ServerState()
        self.protocol = HttpProtocol(config, self.server)
        self.transport = Transport()
        self.protocol.connection_made(self.transport)  # type: ignore[arg-type] # a double

    async def echo(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, 1_000_000)
        await self.turn.wait()
        self.scopes.append(scope)
        self.bodies.append(repr(body.failure) if body.failure else body.data)
        status = 400 if body.failure else 200
        length = b"%d" % len(body.data)
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body.data})

    async def send(self, *parts: bytes) -> "Connection":
        for part in parts:
            self.protocol.data_received(part)
            await self.settle()
        return self

    async def end(self) -> bool:
        stays_open = self.protocol.eof_received()
        await self.settle()
        return stays_open

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / TICK_SECONDS)):
            if self.transport.closed:
                break
            self.protocol.tick()
            await self.settle()

    @property
    def statuses(self) -> list[int]:
        return [int(each) for each in re.findall(rb"HTTP/1.1 (\d+)", self.transport.sent)]


def run(test: Callable[[Connection], Awaitable[None]]) -> None:
    """Run a test in a loop of its own."""

    async def main() -> None:
        await test(Connection())

    asyncio.run(main())


def test_kept_connection_answers_one_by_one() -> None:
    """Requests on one connection are answered, and it stays open for the next one."""

    async def test(client: Connection) -> None:
        await client.send(GET, POST + b"hello", CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        assert client.statuses == [200] * 3
        assert client.bodies == [b"", b"hello", b"abc"]
        await client.wait(70)
        assert not client.transport.closed
        await client.wait(80)
        assert client.transport.closed

    run(test)


def test_bytes_one_by_one_are_a_request() -> None:
    """It does not matter how a request is cut."""

    async def test(client: Connection) -> None:
        request = POST + b"hello"
        await client.send(*(request[i : i + 1] for i in range(len(request))))
        assert (client.statuses, client.bodies) == ([200], [b"hello"])

    run(test)


def test_garbage_after_good_requests_gets_its_own_answer() -> None:
    """Pipelined requests are answered in order, then the garbage; nothing after it is."""

    async def test(client: Connection) -> None:
        client.turn.clear()
        await client.send(GET + POST + b"hello" + GET + b"nonsense\r\n\r\n" + GET)
        assert client.statuses == []
        client.turn.set()
        await client.settle()
        assert client.statuses == [200, 200, 200, 400]
        assert b"application/problem+json" in client.transport.sent
        assert client.transport.half_closed

    run(test)


def test_pipeline_is_limited() -> None:
    """The 64th request in line is the last one; the client has to send the others again."""

    async def test(client: Connection) -> None:
        client.turn.clear()
        await client.send(GET * 1000)
        client.turn.set()
        for _ in range(50):
            await client.settle()
        assert len(client.statuses) <= 65
        assert client.transport.sent.count(b"connection: close") == 1
        assert client.transport.half_closed

    run(test)


def test_client_that_has_closed_its_side_is_answered() -> None:
    """All its requests are answered; then the connection is closed."""

    async def test(client: Connection) -> None:
        client.turn.clear()
        await client.send(GET + POST + b"hello")
        assert await client.end()
        client.turn.set()
        await client.settle()
        assert client.statuses == [200, 200]
        assert client.transport.closed

    async def with_garbage(client: Connection) -> None:
        client.turn.clear()
        await client.send(GET + b"nonsense\r\n\r\n")
        assert await client.end()
        client.turn.set()
        await client.settle()
        assert client.statuses == [200, 400]
        assert client.transport.closed

    run(test)
    run(with_garbage)


def test_answer_before_the_end_of_the_body_is_the_last_one() -> None:
    """A body that is too large is not read; the client may send the rest of it in vain."""

    async def test(client: Connection) -> None:
        await client.send(POST.replace(b"5", b"5000000") + b"he")
        assert client.statuses == [400]
        assert b"connection: close" in client.transport.sent
        await client.send(b"a" * 1000, GET)
        assert not client.transport.closed
        assert not await client.end()
        assert client.statuses == [400]

    run(test)


@pytest.mark.parametrize("begun", [b"", b"GET /he"])
def test_client_that_is_gone_is_not_answered(begun: bytes) -> None:
    """Without a whole head there is no request."""

    async def test(client: Connection) -> None:
        await client.send(begun)
        assert not await client.end()
        assert client.statuses == []

    run(test)


@pytest.mark.parametrize(
    ("begun", "failure"),
    [
        (POST + b"he", "ConnectionError('the body ends early')"),
        (CHUNKED + b"5\r\nhe", "ConnectionError('the body ends early')"),
    ],
)
def test_body_that_ends_early_reaches_the_application(begun: bytes, failure: str) -> None:
    """The application is told, and its answer is sent."""

    async def test(client: Connection) -> None:
        await client.send(begun)
        assert await client.end()
        assert (client.bodies, client.statuses) == ([failure], [400])

    run(test)


@pytest.mark.parametrize(
    "rest",
    [b"xyz\r\n", b"2\r\nabc\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\nHost: y\r\n\r\n"],
)
def test_malformed_chunks_reach_the_application(rest: bytes) -> None:
    """The application is told, and its answer is the last one."""

    async def test(client: Connection) -> None:
        await client.send(CHUNKED, rest)
        assert client.statuses == [400]
        assert "ConnectionError" in str(client.bodies[0])
        assert client.transport.half_closed

    run(test)


def test_trailers_are_dropped() -> None:
    """A header after the body is not a header of the request."""

    async def test(client: Connection) -> None:
        await client.send(CHUNKED + b"2\r\nab\r\n0\r\nX-Token: secret\r\n\r\n" + GET)
        assert client.statuses == [200, 200]
        assert b"x-token" not in dict(client.scopes[0]["headers"])

    run(test)


@pytest.mark.parametrize("begun", [b"GET", b"GET /a HTTP/1.1\r\nHost: x\r\nX-", GET + b"GET"])
def test_slow_head_is_given_up(begun: bytes) -> None:
    """A head that stops in the middle gets 408 after 5 s."""

    async def test(client: Connection) -> None:
        await client.send(begun)
        await client.wait(STALL_SECONDS - 1)
        assert 408 not in client.statuses
        await client.wait(2)
        assert client.statuses[-1] == 408
        assert client.transport.half_closed

    run(test)


def test_dripping_head_is_given_up() -> None:
    """A head that never stops and never ends gets 408 after 20 s."""

    async def test(client: Connection) -> None:
        await client.send(b"GET /a HTTP/1.1\r\nHost: x\r\nX-A: ")
        for _ in range(int(EXCHANGE_SECONDS)):
            assert client.statuses == []
            await client.send(b"a")
            await client.wait(1)
        await client.wait(1)
        assert client.statuses == [408]

    run(test)


@pytest.mark.parametrize("begun", [POST + b"he", CHUNKED + b"5\r\nhe", POST])
def test_slow_body_reaches_the_application(begun: bytes) -> None:
    """The application is told after 5 s, and its answer is the last one."""

    async def test(client: Connection) -> None:
        await client.send(begun)
        await client.wait(STALL_SECONDS + 1)
        assert client.bodies == ["TimeoutError('the client is too slow')"]
        assert client.statuses == [400]
        await client.wait(2)
        assert client.transport.closed

    run(test)


def test_slow_application_is_waited_for() -> None:
    """No time limit of a client's counts while the server is busy."""

    async def test(client: Connection) -> None:
        client.turn.clear()
        await client.send(GET + GET + b"GET /begun")
        await client.wait(100)
        assert not client.transport.closed
        client.turn.set()
        await client.settle()
        assert client.statuses == [200, 200]

    run(test)


def test_silent_connection_is_closed() -> None:
    """A client that never says a word is let go after 20 s, without an answer."""

    async def test(client: Connection) -> None:
        await client.wait(EXCHANGE_SECONDS - 1)
        assert not client.transport.closed
        await client.wait(2)
        assert (client.transport.closed, client.statuses) == (True, [])

    run(test)


def test_client_that_reads_nothing_is_let_go() -> None:
    """An answer that nobody reads is given up after 5 s, one that is read slowly after 20 s."""

    async def test(client: Connection) -> None:
        await client.send(GET)
        client.transport.unread = 1_000_000
        await client.wait(STALL_SECONDS + 1)
        assert client.transport.aborted

    async def dripping(client: Connection) -> None:
        await client.send(GET)
        client.transport.unread = 1_000_000
        for _ in range(int(EXCHANGE_SECONDS)):
            assert not client.transport.aborted
            client.transport.unread -= 1
            await client.wait(1)
        await client.wait(1)
        assert client.transport.aborted

    run(test)
    run(dripping)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET / HTTP/0.9\r\nHost: x", 400),
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y", 400),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 5", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: a\r\nContent-Type: b", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\r\n b", 400),
        (b"GET / HTTP/1.1\nHost: x", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: a\nX-B: b", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A : a", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: a miracle", 417),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x", 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * 9000, 431),
        (b"GET / HTTP/1.1\r\nHost: x" + b"\r\nX-A: a" * 64, 431),
    ],
)
def test_ambiguous_head_is_rejected(head: bytes, status: int) -> None:
    """It gets a problem, and does not reach the application."""

    async def test(client: Connection) -> None:
        await client.send(head + b"\r\n\r\n")
        assert (client.statuses, client.scopes) == ([status], [])
        assert b"application/problem+json" in client.transport.sent

    run(test)


def test_endless_head_is_rejected_while_it_comes() -> None:
    """A head is not buffered without limit."""

    async def test(client: Connection) -> None:
        sent = 0
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")
        while not client.statuses:
            await client.send(b"a" * 1000)
            sent += 1000
            assert sent < 100_000
        assert client.statuses == [431]

    run(test)


@pytest.mark.parametrize("cut", [10, 60, 109, 112])
def test_wish_for_another_protocol_is_ignored(cut: int) -> None:
    """Java's client asks for HTTP/2 with its first request, and sends its body after that."""

    async def test(client: Connection) -> None:
        wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEA\r\n"
        request = POST.replace(b"Host: x\r\n", b"Host: x\r\n" + wish) + b"hello"
        await client.send(request[:cut], request[cut:] + GET)
        assert (client.statuses, client.bodies) == ([200, 200], [b"hello", b""])

    run(test)


def test_spaces_around_a_value_are_no_part_of_it() -> None:
    """A parser of another server would drop them too."""

    async def test(client: Connection) -> None:
        await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-A:  a b \t\r\n\r\n")
        assert dict(client.scopes[0]["headers"])[b"x-a"] == b"a b"

    run(test)


def test_stopping_server_answers_and_closes() -> None:
    """A request that is being received is answered as the last one; idle clients are let go."""

    async def test(client: Connection) -> None:
        await client.send(GET, POST + b"he")
        client.protocol.shutdown()
        await client.send(b"llo" + GET)
        assert client.statuses == [200, 200]
        assert client.transport.sent.count(b"connection: close") == 1
        assert client.transport.half_closed

    async def idle(client: Connection) -> None:
        await client.send(GET)
        client.protocol.shutdown()
        assert not client.transport.closed
        await client.send(GET)
        assert client.statuses == [200, 200]
        assert client.transport.half_closed

    async def silent(client: Connection) -> None:
        client.protocol.shutdown()
        await client.wait(1)
        assert client.transport.closed

    for each in (test, idle, silent):
        run(each)


def test_too_many_connections_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more than a process has gets 503 with Retry-After."""
    monkeypatch.setattr(HttpProtocol, "max_connections", 0)

    async def test(client: Connection) -> None:
        assert client.statuses == [503]
        assert b"Retry-After: 1\r\n" in client.transport.sent

    run(test)


def test_application_that_fails_is_a_problem(caplog: pytest.LogCaptureFixture) -> None:
    """A fault of ours is a 500 that says nothing more, and the log has the rest."""

    async def broken(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise ValueError("secret")

    async def main() -> None:
        client = await Connection(broken).send(GET + GET)
        assert client.statuses == [500, 500]
        assert b"secret" not in client.transport.sent

    asyncio.run(main())
    assert "secret" in caplog.text


def test_lost_client_does_not_hold_up_the_server() -> None:
    """What waits for its body is told; its answer goes nowhere."""

    async def test(client: Connection) -> None:
        await client.send(POST + b"he")
        client.transport.closed = True
        client.protocol.connection_lost(None)
        await client.settle()
        assert client.bodies == ["ConnectionError('the client is gone')"]
        assert client.server.tasks == set()
        assert client.server.connections == set()
        assert client.statuses == []

    run(test)
