"""Generate Alertmanager's configuration, which contains secrets, in `.secrets/`."""

from typing import Any

import yaml

from mlstack.files import private_folder, write_atomically
from mlstack.settings import Settings
from operations.alerting.receivers import Mail, Receivers
from operations.containers import credentials

TEST_ALERT = "AlertTest"

_PEOPLE = "people"
_SMTPS = ":465"
_SUBJECT = '{{ template "mlstack.subject" . }}'
_TEXT = '{{ template "mlstack.text" . }}'
_PAGE = '{{ template "mlstack.page" . }}'


def write(settings: Settings, templates: str) -> bool:
    """Write the configuration; return whether it has changed.

    `templates` is the path of the messages' templates, as Alertmanager sees it. Raises
    SettingsError if the settings do not fit together.
    """
    content = yaml.safe_dump(
        document(Receivers.load(settings), templates), sort_keys=False, allow_unicode=True
    ).encode()
    path = credentials.FOLDER / credentials.ALERTMANAGER
    if path.exists() and path.read_bytes() == content:
        return False
    private_folder(credentials.FOLDER)
    write_atomically(path, content, mode=0o600)
    return True


def document(receivers: Receivers, templates: str) -> dict[str, Any]:
    """Return a configuration that Alertmanager 0.25 and later read."""
    people: dict[str, Any] = {"name": _PEOPLE}
    if receivers.mail:
        people["email_configs"] = [_email(receivers.mail)]
    if receivers.slack_url:
        people["slack_configs"] = [
            {
                "api_url": receivers.slack_url,
                "send_resolved": True,
                "title": _SUBJECT,
                "title_link": _PAGE,
                "fallback": _SUBJECT,
                "text": _TEXT,
            }
        ]
    if receivers.webhook_url:
        people["webhook_configs"] = [{"url": receivers.webhook_url, "send_resolved": True}]
    return {
        "templates": [templates],
        "route": {
            "receiver": _PEOPLE,
            # One message for all services or shards with the same trouble.
            "group_by": ["alertname"],
            "group_wait": "10s",
            # Also how long a message is tried, and how late people hear that it is over.
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [
                {
                    "matchers": [f'alertname="{TEST_ALERT}"'],
                    # Every test is a message of its own, at once.
                    "group_by": ["..."],
                    "group_wait": "0s",
                    "group_interval": "10s",
                },
                {"matchers": ['severity="warning"'], "repeat_interval": "24h"},
            ],
        },
        "receivers": [people],
    }


def _email(mail: Mail) -> dict[str, Any]:
    login = {"auth_username": mail.user, "auth_password": mail.password} if mail.user else {}
    return {
        "to": mail.to,
        "from": mail.sender,
        "smarthost": mail.server,
        # Alertmanager encrypts a connection to this port from its first byte.
        "require_tls": mail.starttls and not mail.server.endswith(_SMTPS),
        **login,
        "send_resolved": True,
        "headers": {"Subject": _SUBJECT},
        "html": "",
        "text": _TEXT,
    }
