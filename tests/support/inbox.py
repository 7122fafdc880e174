"""Where alerts arrive: a mail server and a receiver of webhooks, both real servers."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.support.http_server import serving
from tests.support.ports import free_port

USER, PASSWORD = "alerts", "pä$s{{ word"


@dataclass
class Inbox:
    """Mails that a server has taken.

    Args:
        port: Of the server.
        mails: The mails, oldest first.
    """

    port: int
    mails: list[EmailMessage] = field(default_factory=list)

    def texts(self) -> list[str]:
        """Subject and text of each mail."""
        return [f"{mail['Subject']}\n\n{_plain(mail)}" for mail in self.mails]

    async def handle_DATA(self, _: SMTP, __: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.original_content or b"", policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


def _plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@dataclass
class Hooks:
    """What was posted to webhooks.

    Args:
        url: Address of the receiver; a path of any name may follow.
        posted: Bodies by path, oldest first.
        status: What it answers.
    """

    url: str
    posted: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    status: int = 200


@contextmanager
def inbox(host: str = "127.0.0.1", certificate: Path | None = None) -> Iterator[Inbox]:
    """Run a mail server; with a certificate and its key, it wants STARTTLS and a login."""
    served = Inbox(free_port())
    options: dict[str, Any] = {}
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        options = {
            "tls_context": context,
            "auth_required": True,
            "authenticator": _authenticate,
            # Its prompts are not those that Alertmanager knows.
            "auth_exclude_mechanism": ["LOGIN"],
        }
    server = Controller(served, host, served.port, **options)
    server.start()
    try:
        yield served
    finally:
        server.stop()


def _authenticate(_: SMTP, __: Session, ___: Any, ____: str, login: Any) -> AuthResult:
    is_right = login == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=is_right, handled=False)  # aiosmtpd writes the answer


@contextmanager
def hooks(host: str = "127.0.0.1") -> Iterator[Hooks]:
    """Run a receiver of webhooks."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.posted.setdefault(self.path, []).append(body)
            self.send_response(received.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with serving(Handler, host) as port:
        received = Hooks(f"http://{host}:{port}")
        yield received


def make_certificate(path: Path) -> None:
    """Write a key and a certificate for this machine's loopback into one file."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=mail"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", path, "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
