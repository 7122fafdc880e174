"""Who is told about alerts: addresses from the settings, passwords and URLs from `.secrets/`.

The files are the user's own, so nothing here generates or deletes them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from mlstack.errors import SettingsError
from mlstack.secret_files import has_secret, read_secret
from mlstack.settings import Settings
from operations.containers import credentials
from operations.machine.findings import Finding

SMTP_PASSWORD = "alert_smtp_password"  # noqa: S105 - the name of its file
SLACK_URL = "alert_slack_url"
WEBHOOK_URL = "alert_webhook_url"

_WHAT = "alert receivers"

NOBODY = (
    "nobody is told about alerts: set ALERT_MAIL_TO and ALERT_SMTP_SERVER in the environment's "
    f"file, or put the URL of a webhook into .secrets/{SLACK_URL} (Slack's form) or "
    f".secrets/{WEBHOOK_URL}; then make setup-model-serve and make alert-test"
)


@dataclass(frozen=True, slots=True)
class Mail:
    """How alerts are mailed.

    Args:
        to: Addresses, separated by commas.
        sender: The address that mails come from.
        server: The SMTP server, as HOST:PORT.
        starttls: Whether the server must encrypt the connection.
        user: Name at the server; empty for none.
        password: The user's password.
    """

    to: str
    sender: str
    server: str
    starttls: bool
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Receivers:
    """Everybody who is told about alerts; URLs are empty for none."""

    mail: Mail | None
    slack_url: str = field(repr=False)
    webhook_url: str = field(repr=False)

    @classmethod
    def load(cls, settings: Settings) -> Self:
        """Read settings and secrets.

        Raises SettingsError, which never contains a secret, if they do not fit together.
        """
        return cls(_mail(settings), _url(SLACK_URL), _url(WEBHOOK_URL))

    @property
    def described(self) -> dict[str, str]:
        """Who is told, by Alertmanager's name of the way."""
        ways = {
            "email": f"mail to {self.mail.to}" if self.mail else "",
            "slack": f"the webhook in .secrets/{SLACK_URL}" if self.slack_url else "",
            "webhook": f"the webhook in .secrets/{WEBHOOK_URL}" if self.webhook_url else "",
        }
        return {way: text for way, text in ways.items() if text}

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets that are set, by the names of their files."""
        found = {
            SLACK_URL: self.slack_url,
            WEBHOOK_URL: self.webhook_url,
            SMTP_PASSWORD: self.mail.password if self.mail else "",
        }
        return {name: secret for name, secret in found.items() if secret}


def receivers_finding(settings: Settings) -> Finding:
    """Tell whether somebody is told about alerts, for `make doctor`."""
    try:
        told = Receivers.load(settings).described
    except SettingsError as error:
        return Finding(_WHAT, str(error))
    return Finding(_WHAT, None if told else NOBODY, optional=True)


def status_line(settings: Settings) -> str:
    """Return who is told about alerts, or why nobody is, for `make status`."""
    if fault := receivers_finding(settings).fault:
        return f"!! {fault}"
    return f"alerts are sent to: {', '.join(Receivers.load(settings).described.values())}"


def _mail(settings: Settings) -> Mail | None:
    if not settings.alert_mail_to:
        return None
    if not settings.alert_smtp_server:
        raise SettingsError(
            "ALERT_MAIL_TO names people, but ALERT_SMTP_SERVER no server that mails to them: set "
            "ALERT_SMTP_SERVER=HOST:PORT"
        )
    to = ", ".join(address.strip() for address in settings.alert_mail_to.split(","))
    password = ""
    if settings.alert_smtp_user:
        password = read_secret("the password of ALERT_SMTP_USER", _own(SMTP_PASSWORD))
    return Mail(
        to=to,
        sender=settings.alert_mail_from or to.partition(",")[0],
        server=settings.alert_smtp_server,
        starttls=settings.alert_smtp_starttls,
        user=settings.alert_smtp_user,
        password=password,
    )


def _url(name: str) -> str:
    path = _own(name)
    if not has_secret(path):
        return ""
    url = read_secret("the URL of a webhook", path)
    try:
        parts = urlsplit(url)
        is_complete = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_complete = False
    if not is_complete or not url.isprintable() or " " in url:
        raise SettingsError(f"{path}: it must contain one URL, such as https://host/path")
    return url


def _own(name: str) -> Path:
    """Return a secret's path, and close the file to other users."""
    path = credentials.FOLDER / name
    if has_secret(path):
        path.chmod(0o600)
    return path
