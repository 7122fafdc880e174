"""Malformed HTTP, and HTTP that no library would send."""

import json
from dataclasses import dataclass

from mlstack.contract import Contract

_CRLF = b"\r\n"


@dataclass(frozen=True)
class RawRequest:
    """Bytes that must be refused, and how.

    Args:
        name: Says what is wrong with them.
        payload: All that the client sends.
        statuses: Of the first answer, any of them; None: closed without one.
        code: Of the problem, where it is always the same.
        ends: Whether the client says that nothing more is coming.
    """

    name: str
    payload: bytes
    statuses: tuple[int | None, ...]
    code: str = ""
    ends: bool = False


def _post(*headers: bytes, body: bytes = b"", path: bytes = b"/predict") -> bytes:
    lines = (
        b"POST " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        *headers,
    )
    return _CRLF.join(lines) + 2 * _CRLF + body


def _get(line: bytes, *headers: bytes) -> bytes:
    return _CRLF.join((line, b"Host: localhost", *headers)) + 2 * _CRLF


def raw_requests(contract: Contract) -> list[RawRequest]:
    """List the malformed requests; the customer in them is a valid one."""
    good = json.dumps(contract.example).encode()
    length = b"Content-Length: %d" % len(good)
    chunked = b"Transfer-Encoding: chunked"
    chunk = b"%x\r\n%s\r\n" % (len(good), good)
    head = b"/health/live HTTP/1.1"
    too_much = b"10000\r\n" + b" " * 0x10000 + _CRLF
    broken_head = (
        ("nonsense", b"nonsense\r\n\r\n"),
        ("zero bytes", b"\x00" * 100 + b"\r\n\r\n"),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        ("an HTTP/2 greeting", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("no version", b"GET /health/live\r\n\r\n"),
        ("HTTP/0.9", _get(b"GET /health/live HTTP/0.9")),
        ("HTTP/3.0", _get(b"GET /health/live HTTP/3.0")),
        ("HTTP/1.x", _get(b"GET /health/live HTTP/1.x")),
        ("a method in small letters", _get(b"get " + head)),
        ("a method of 10,000 letters", _get(b"G" * 10_000 + b" " + head)),
        ("a method with a colon", _get(b"GE:T " + head)),
        ("no path", _get(b"GET  HTTP/1.1")),
        ("a path without a slash", _get(b"GET health HTTP/1.1")),
        ("a request line of 10,000 bytes", _get(b"GET /" + b"a" * 10_000 + b" HTTP/1.1")),
        ("a header without a colon", _get(b"GET " + head, b"nonsense")),
        ("a header without a name", _get(b"GET " + head, b": x")),
        ("a space before the colon", _get(b"GET " + head, b"X-A : x")),
        ("a folded header", _get(b"GET " + head, b"X-A: x", b" y")),
        ("a zero byte in a header", _get(b"GET " + head, b"X-A: \x00")),
        ("an escape in a header", _get(b"GET " + head, b"X-A: \x1b[31m")),
        ("a bare line feed in a header", _get(b"GET " + head, b"X-A: x\ny: z")),
        ("a second Host", _get(b"GET " + head, b"Host: elsewhere")),
        ("a header of 10,000 bytes", _get(b"GET " + head, b"X-A: " + b"x" * 10_000)),
        ("100 headers", _get(b"GET " + head, *(b"X-%d: x" % i for i in range(100)))),
        ("an unknown expectation", _get(b"GET " + head, b"Expect: a miracle")),
        ("two Content-Lengths", _post(length, length, body=good)),
        ("two different Content-Lengths", _post(length, b"Content-Length: 5", body=good)),
        ("a negative Content-Length", _post(b"Content-Length: -1", body=good)),
        ("a Content-Length that is no number", _post(b"Content-Length: x", body=good)),
        ("a Content-Length with a plus", _post(b"Content-Length: +5", body=good)),
        ("a Content-Length of 5,000 digits", _post(b"Content-Length: " + b"9" * 5000)),
        ("a superscript Content-Length", _post(b"Content-Length: \xb2", body=good)),
        ("an empty Content-Length", _post(b"Content-Length:", body=good)),
        ("length and chunks", _post(length, chunked, body=chunk + b"0\r\n\r\n")),
        ("chunked twice", _post(chunked, chunked, body=chunk + b"0\r\n\r\n")),
        ("chunked, then gzip", _post(b"Transfer-Encoding: chunked, gzip", body=chunk)),
        ("an unknown transfer coding", _post(b"Transfer-Encoding: nonsense", body=good)),
        (
            "chunks in HTTP/1.0",
            b"POST /predict HTTP/1.0\r\n" + chunked + 2 * _CRLF + chunk + b"0\r\n\r\n",
        ),
        ("a second Content-Type", _post(length, b"Content-Type: text/plain", body=good)),
    )
    refused = (400, 417, 431, 501)
    return [
        *(RawRequest(name, payload, refused, ends=True) for name, payload in broken_head),
        RawRequest("silence", b"", (None,), ends=True),
        # RFC 9112, 2.2: a server should ignore empty lines before a request. No request follows.
        RawRequest("only line ends", b"\r\n\r\n\r\n\r\n", (None,), ends=True),
        # RFC 9112, 3: a server may split a request line at any white space.
        RawRequest("two spaces", _get(b"GET  " + head), (200,)),
        RawRequest("half a request line", b"GET /hea", (None,), ends=True),
        RawRequest("half a head", b"GET /health/live HTTP/1.1\r\nHost:", (None,), ends=True),
        RawRequest(
            "a body shorter than it says",
            _post(b"Content-Length: 1000", body=good),
            (400,),
            "incomplete_body",
            ends=True,
        ),
        RawRequest("no body", _post(), (400,), "empty_body"),
        RawRequest("a body of length 0", _post(b"Content-Length: 0"), (400,), "empty_body"),
        RawRequest("no chunks", _post(chunked, body=b"0\r\n\r\n"), (400,), "empty_body"),
        RawRequest(
            "a body that says that it is endless",
            _post(b"Content-Length: " + b"9" * 18, body=good),
            (413,),
            "body_too_large",
        ),
        # The parser holds lengths in 64 bits, and what it cannot hold is no length.
        RawRequest(
            "a Content-Length of 30 digits",
            _post(b"Content-Length: " + b"9" * 30, body=good),
            (400,),
            "bad_request",
        ),
        RawRequest("too many chunks", _post(chunked, body=too_much * 2), (413,), "body_too_large"),
        RawRequest(
            "too many chunks of a batch",
            _post(chunked, body=too_much * 17, path=b"/predict/batch"),
            (413,),
            "body_too_large",
        ),
        *(
            RawRequest(name, _post(chunked, body=body), (400,), "incomplete_body", ends=True)
            for name, body in (
                ("a chunk's size that is no number", b"xyz\r\n" + good + b"\r\n0\r\n\r\n"),
                ("a negative chunk", b"-5\r\n" + good + b"\r\n0\r\n\r\n"),
                ("an empty chunk's size", b"\r\n" + good + b"\r\n0\r\n\r\n"),
                ("a chunk longer than it says", b"5\r\n" + good + b"\r\n0\r\n\r\n"),
                ("a chunk that breaks off", b"%x\r\n%s" % (len(good), good[:10])),
                ("chunks without an end", chunk),
                ("a broken trailer", chunk + b"0\r\nnonsense\r\n\r\n"),
                ("a forbidden trailer", chunk + b"0\r\nContent-Length: 5\r\n\r\n"),
            )
        ),
        *(
            RawRequest(name, _get(line), (404,), "not_found")
            for name, line in (
                ("a doubled slash", b"GET //no//where HTTP/1.1"),
                ("a whole address of another path", b"GET http://elsewhere/x HTTP/1.1"),
                ("a path with a broken escape", b"GET /%zz HTTP/1.1"),
                ("a path that climbs", b"GET /static/../../x HTTP/1.1"),
                ("a path that climbs escaped", b"GET /docs/%2e%2e%2f%2e%2e%2fx HTTP/1.1"),
                ("a fragment", b"GET /x#y HTTP/1.1"),
            )
        ),
        RawRequest(
            "a header that moves the application",
            _get(b"GET /nowhere HTTP/1.1", b"SCRIPT_NAME: /elsewhere"),
            (404,),
            "not_found",
        ),
        RawRequest("CONNECT", _get(b"CONNECT localhost:80 HTTP/1.1"), (400, 404, 405)),
        # RFC 3986: addresses are ASCII, and other bytes are escaped.
        RawRequest("a path in raw UTF-8", _get("GET /größe HTTP/1.1".encode()), (400,)),
        # The parser knows the registered methods. No route has another one.
        RawRequest("an unknown method", _get(b"BREW /predict HTTP/1.1"), (400,), "bad_request"),
        RawRequest("a method of no route", _get(b"PROPFIND /predict HTTP/1.1"), (405,)),
        RawRequest(
            "a strange Host",
            b"GET /nowhere HTTP/1.1\r\nHost: a b<>\r\n\r\n",
            (400, 404),
        ),
    ]
