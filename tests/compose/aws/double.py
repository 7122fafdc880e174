"""AWS as a machine in it sees it: the keys of its role, and services that take no others.

Usage: python double.py EMULATOR | --check

Port 80 is the instance metadata service, version 2 alone. Port 4566 is every service's endpoint:
what is signed with the role's temporary key goes to the emulator, anything else is refused. Each
request there is a line of JSON on standard output: who (the container's name), key, what.
"""

import json
import secrets
import socket
import sys
import threading
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

ROLE = "mlstack-machine"
METADATA_PORT, SERVICES_PORT = 80, 4566
_CREDENTIALS = "/latest/meta-data/iam/security-credentials/"
_HOP_BY_HOP = frozenset({"connection", "content-length", "expect", "host", "transfer-encoding"})
_SIGNED = "AWS4-HMAC-SHA256 Credential="

KEY = "ASIA" + secrets.token_hex(8).upper()
SECRET, SESSION = secrets.token_urlsafe(30), secrets.token_urlsafe(32)
TOKEN = secrets.token_urlsafe(16)


class Handler(BaseHTTPRequestHandler):
    """The common part of both servers."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Metadata(Handler):
    """Instance metadata, version 2: nothing without a token."""

    def do_PUT(self) -> None:
        if self.path == "/latest/api/token":
            seconds = self.headers["X-aws-ec2-metadata-token-ttl-seconds"] or "0"
            self.answer(200, TOKEN.encode(), X_aws_ec2_metadata_token_ttl_seconds=seconds)
        else:
            self.answer(404)

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            self.answer(401)
        elif self.path == _CREDENTIALS:
            self.answer(200, ROLE.encode())
        elif self.path == _CREDENTIALS + ROLE:
            now = datetime.now(UTC)
            document = {
                "Code": "Success",
                "LastUpdated": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "Type": "AWS-HMAC",
                "AccessKeyId": KEY,
                "SecretAccessKey": SECRET,
                "Token": SESSION,
                "Expiration": f"{now + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
            }
            self.answer(200, json.dumps(document).encode())
        else:
            self.answer(404)


class Services(Handler):
    """Endpoint of all services: passes on what the role has signed."""

    emulator: ClassVar[str]

    def do_GET(self) -> None:
        body = self._body()
        key, service, session = self._signed()
        action = self.headers["X-Amz-Target"] or f"{self.command} {self.path}"
        line = {"who": self._who(), "key": key, "what": f"{service} {action}"}
        sys.stdout.write(f"{json.dumps(line)}\n")  # at once, whoever else writes
        if (key, session) != (KEY, SESSION):
            self.answer(403, b"<Error><Code>InvalidAccessKeyId</Code></Error>")
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        connection = HTTPConnection(self.emulator, timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        self.send_response(answer.status)
        length = answer.headers["Content-Length"] if self.command == "HEAD" else str(len(content))
        for name, value in answer.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        self.wfile.write(content)

    do_DELETE = do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - http.server finds them so

    def _signed(self) -> tuple[str, str, str]:
        """Key, service and session that a request names, in its URL if that was signed before."""
        query = dict(parse_qsl(urlsplit(self.path).query))
        head = str(self.headers["Authorization"] or "")
        scope = head.removeprefix(_SIGNED) if head else query.get("X-Amz-Credential", "")
        session = self.headers["X-Amz-Security-Token"] or query.get("X-Amz-Security-Token", "")
        key, _, _, service, *_ = [*scope.split("/"), "", "", "", ""]
        return key, service, str(session)

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _who(self) -> str:
        try:
            return socket.gethostbyaddr(self.client_address[0])[0]
        except OSError:
            return self.client_address[0]


def check() -> None:
    """Exit with an error unless both answer."""
    connection = HTTPConnection("127.0.0.1", METADATA_PORT, timeout=2)
    connection.request("PUT", "/latest/api/token")
    if connection.getresponse().status != HTTPStatus.OK:
        sys.exit(1)
    socket.create_connection(("127.0.0.1", SERVICES_PORT), timeout=2).close()


def main(emulator: str) -> None:
    """Serve until the process is ended."""
    Services.emulator = urlsplit(emulator).netloc
    metadata = ThreadingHTTPServer(("", METADATA_PORT), Metadata)
    threading.Thread(target=metadata.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("", SERVICES_PORT), Services).serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "--check":
        check()
    else:
        main(sys.argv[1])
