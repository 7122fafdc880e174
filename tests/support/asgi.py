"""Requests to an ASGI application in this process."""

from collections.abc import Iterable
from typing import Any

from tests.support.api_server import Answer


async def ask(
    app: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """Send a request whose body is there at once; return the answer."""
    sent: list[dict[str, Any]] = []
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        return parts.pop() if parts else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    raw = [(name.lower().encode("latin-1"), text.encode("latin-1")) for name, text in headers]
    if not any(name in {b"content-length", b"transfer-encoding"} for name, _ in raw):
        raw.append((b"content-length", b"%d" % len(body)))
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *raw],
        "server": ("127.0.0.1", 9696),
        "client": ("127.0.0.1", 50000),
        "state": {},
    }
    await app(scope, receive, send)
    start, *parts_sent = sent
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(
        start["status"],
        {name.lower(): value for name, value in found.items()},
        b"".join(part.get("body", b"") for part in parts_sent),
    )
