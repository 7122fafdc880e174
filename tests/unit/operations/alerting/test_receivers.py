"""Who is told about alerts, and Alertmanager's configuration made from it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlstack.errors import SettingsError
from mlstack.settings import ROOT, Settings
from operations.alerting import configuration
from operations.alerting.receivers import (
    NOBODY,
    SLACK_URL,
    SMTP_PASSWORD,
    WEBHOOK_URL,
    Receivers,
    receivers_finding,
    status_line,
)
from operations.containers import credentials

MAIL = Settings(
    alert_mail_to="ops@example.org , it@example.org",
    alert_smtp_server="mail.example.org:587",
    alert_smtp_user="alerts",
)
HOOK = "https://hooks.example/T0/secret"
TEMPLATES = ROOT / "monitoring/alertmanager/messages.tmpl"
needs_amtool = pytest.mark.skipif(
    shutil.which("amtool") is None,
    reason="amtool is missing: apt-get install --no-install-recommends prometheus-alertmanager",
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.secrets/`, with nothing in it."""
    folder = tmp_path / ".secrets"
    folder.mkdir()
    monkeypatch.setattr(credentials, "FOLDER", folder)
    return folder


def written(folder: Path, settings: Settings) -> dict[str, Any]:
    configuration.write(settings, str(TEMPLATES))
    document: dict[str, Any] = yaml.safe_load((folder / credentials.ALERTMANAGER).read_text())
    return document


def fill(folder: Path) -> None:
    (folder / SMTP_PASSWORD).write_text("p#ss: 'word\n")
    (folder / SLACK_URL).write_text(HOOK)
    (folder / WEBHOOK_URL).write_text(f"{HOOK}?a=b&c=%20")


def test_nobody_is_told_by_default() -> None:
    """Status and doctor say so, and what to do; nothing fails."""
    assert Receivers.load(Settings()).described == {}
    finding = receivers_finding(Settings())
    assert (finding.fault, finding.optional) == (NOBODY, True)
    assert status_line(Settings()) == f"!! {NOBODY}"


def test_receivers_are_described_without_secrets(folder: Path) -> None:
    """What is shown names addresses and files, never what is in them."""
    fill(folder)
    receivers = Receivers.load(MAIL)
    assert list(receivers.described) == ["email", "slack", "webhook"]
    assert receivers.described["email"] == "mail to ops@example.org, it@example.org"
    assert receivers_finding(MAIL).fault is None
    for shown in (status_line(MAIL), repr(receivers)):
        assert not [secret for secret in receivers.secrets.values() if secret in shown]


@pytest.mark.parametrize(
    ("settings", "content", "said"),
    [
        (Settings(alert_mail_to="a@b.example"), None, "set ALERT_SMTP_SERVER=HOST:PORT"),
        (MAIL, None, "alert_smtp_password: cannot be read"),
        (Settings(), "hooks.example/T0/secret", "it must contain one URL"),
        (Settings(), f"{HOOK}\n{HOOK}", "it must contain one URL"),
        (Settings(), "http://[secret", "it must contain one URL"),
    ],
)
def test_incomplete_receiver_is_refused(
    folder: Path, settings: Settings, content: str | None, said: str
) -> None:
    """With the setting or the file, and without the secret."""
    if content:
        (folder / WEBHOOK_URL).write_text(content)
    with pytest.raises(SettingsError) as refused:
        configuration.write(settings, str(TEMPLATES))
    assert said in str(refused.value)
    assert "T0" not in str(refused.value)
    assert not receivers_finding(settings).optional


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALERT_MAIL_TO", "ops"),
        ("ALERT_MAIL_TO", "a@b.example; c@d.example"),
        ("ALERT_MAIL_TO", "{{ .x }}@b.example"),
        ("ALERT_SMTP_SERVER", "mail.example.org"),
        ("ALERT_SMTP_SERVER", "smtp://mail.example.org:25"),
    ],
)
def test_address_that_is_none_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_configuration_is_private_and_written_when_it_changes(folder: Path) -> None:
    """So that Alertmanager is restarted only then."""
    fill(folder)
    assert configuration.write(MAIL, "x.tmpl")
    first = (folder / credentials.ALERTMANAGER).read_bytes()
    assert not configuration.write(MAIL, "x.tmpl")
    (folder / WEBHOOK_URL).unlink()
    assert configuration.write(MAIL, "x.tmpl")
    assert (folder / credentials.ALERTMANAGER).read_bytes() != first
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_password_and_urls_are_kept_literally(folder: Path) -> None:
    """Whatever signs they have."""
    fill(folder)
    (people,) = written(folder, MAIL)["receivers"]
    (mail,) = people["email_configs"]
    assert (mail["auth_username"], mail["auth_password"]) == ("alerts", "p#ss: 'word")
    assert mail["to"] == "ops@example.org, it@example.org"
    assert mail["from"] == "ops@example.org"
    assert people["slack_configs"][0]["api_url"] == HOOK
    assert people["webhook_configs"][0]["url"] == f"{HOOK}?a=b&c=%20"
    for configs in (people[f"{way}_configs"] for way in ("email", "slack", "webhook")):
        assert configs[0]["send_resolved"] is True


@pytest.mark.parametrize(
    ("server", "starttls", "required"),
    [("m.example:587", True, True), ("m.example:25", False, False), ("m.example:465", True, False)],
)
def test_mail_is_encrypted_unless_it_is_switched_off(
    folder: Path, server: str, *, starttls: bool, required: bool
) -> None:
    """Port 465 is encrypted from its first byte, so there is no STARTTLS."""
    settings = Settings(
        alert_mail_to="a@b.example", alert_smtp_server=server, alert_smtp_starttls=starttls
    )
    (people,) = written(folder, settings)["receivers"]
    assert people["email_configs"][0]["require_tls"] is required
    assert "auth_username" not in people["email_configs"][0]


@needs_amtool
@pytest.mark.parametrize("settings", [Settings(), MAIL], ids=["nobody", "everybody"])
def test_alertmanager_accepts_the_configuration(folder: Path, settings: Settings) -> None:
    """With every receiver, and with none at all."""
    if settings is MAIL:
        fill(folder)
    written(folder, settings)
    amtool("check-config", str(folder / credentials.ALERTMANAGER))


@needs_amtool
@pytest.mark.parametrize("status", ["firing", "resolved"])
def test_message_says_what_to_know_and_links(tmp_path: Path, status: str) -> None:
    """What happened, what it means, what to do, and the page, for each alert of a group."""
    notes = {"summary": "S", "description": "Means.", "runbook": "Do.", "page": "http://p/"}
    times = {"startsAt": "2026-01-31T12:00:00Z", "endsAt": "2026-01-31T12:05:00Z"}
    labels = {"alertname": "TargetDown", "severity": "critical"}
    alert = {"status": status, "labels": labels, "annotations": notes, **times}
    data = {"status": status, "alerts": [alert, alert], "commonLabels": labels}
    (tmp_path / "data.json").write_text(json.dumps(data))

    def rendered(name: str) -> str:
        text = '{{ template "mlstack.' + name + '" . }}'
        return amtool(
            *("template", "render", f"--template.glob={TEMPLATES}"),
            *(f"--template.text={text}", f"--template.data={tmp_path / 'data.json'}"),
        )

    urgency = "CRITICAL" if status == "firing" else "RESOLVED"
    assert rendered("subject") == f"{urgency}: S (2 alerts)"
    assert rendered("page") == "http://p/"
    text = rendered("text")
    since = (
        "Fires since 2026-01-31 12:00:00 UTC"
        if status == "firing"
        else "Resolved since 2026-01-31 12:05:00 UTC"
    )
    assert text.count(f"{since}: TargetDown") == 2
    for line in ("What happened: S.", "What it means: Means.", "What to do: Do."):
        assert text.count(line) == 2
    assert text.count("See it: http://p/") == 2


def amtool(*arguments: str) -> str:
    done = subprocess.run(
        ["amtool", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout
