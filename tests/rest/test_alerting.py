"""Alerts reach people: a real Alertmanager, a mail server with login and TLS, and two webhooks.

The tests of this file share one Alertmanager and follow each other.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.inbox import PASSWORD, USER, Hooks, Inbox, hooks, inbox, make_certificate
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        shutil.which("prometheus-alertmanager") is None,
        reason="apt-get install --no-install-recommends prometheus-alertmanager",
    ),
]
PARTS = (
    "What happened: This is a test",
    "What it means: Nothing is wrong.",
    "What to do: Nothing.",
    "See it: http://127.0.0.1:",
)


@dataclass(frozen=True)
class Desk:
    """A stack of which only Alertmanager runs, and everybody who is told."""

    project: ProjectCopy
    inbox: Inbox
    hooks: Hooks

    @property
    def secrets(self) -> Path:
        return self.project.folder / ".secrets"

    def start(self) -> str:
        done = self.project.supervise("start", "alertmanager")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def heard(self, status: str) -> bool:
        """Whether everybody has a message with a status."""
        posted = self.hooks.posted
        return (
            any(status in mail["Subject"].lower() for mail in self.inbox.mails)
            and any(each["status"] == status for each in posted.get("/hook", []))
            and any(status in str(each).lower() for each in posted.get("/slack", []))
        )


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("alerts")
    make_certificate(folder / "mail.pem")
    (folder / "R&D #1 (Zürich)").mkdir()
    with (
        inbox(certificate=folder / "mail.pem") as served,
        hooks() as received,
        project_copy(folder / "R&D #1 (Zürich)") as project,
    ):
        # So that Alertmanager trusts the mail server.
        project.environment["SSL_CERT_FILE"] = str(folder / "mail.pem.crt")
        project.environment["ALERT_MAIL_TO"] = "a-shells-own@example.org"
        yield Desk(project, served, received)


def test_nobody_is_told_without_receivers(desk: Desk) -> None:
    """Alertmanager runs all the same; status and test say what to do."""
    desk.start()
    for said in (desk.project.make("status"), desk.project.make("alert-test")):
        assert "nobody is told about alerts: set ALERT_MAIL_TO" in said.stdout
    assert desk.project.make("alert-test").returncode != 0


def test_test_alert_reaches_everybody(desk: Desk) -> None:
    """By mail over TLS with a login, to Slack and to a webhook; and again when it is over."""
    desk.project.variables |= {
        "ALERT_MAIL_TO": "ops@example.org,it@example.org",
        "ALERT_SMTP_SERVER": f"127.0.0.1:{desk.inbox.port}",
        "ALERT_SMTP_USER": USER,
    }
    for name, secret in (
        ("alert_smtp_password", PASSWORD),
        ("alert_slack_url", f"{desk.hooks.url}/slack"),
        ("alert_webhook_url", f"{desk.hooks.url}/hook"),
    ):
        (desk.secrets / name).write_text(f"{secret}\n")
    assert "settings changed: restarting alertmanager" in desk.start()
    done = desk.project.make("alert-test")
    assert done.returncode == 0, done.stdout
    for way in ("email", "slack", "webhook"):
        assert f"  {way:<8} delivered after " in done.stdout
    (mail,) = desk.inbox.mails
    assert mail["Subject"] == ("WARNING: This is a test of the way on which alerts reach you")
    assert mail["To"] == "ops@example.org, it@example.org"
    (text,) = desk.inbox.texts()
    (slack,) = desk.hooks.posted["/slack"]
    for part in PARTS:
        assert part in text
        assert part in slack["attachments"][0]["text"]
    ((alert,),) = (each["alerts"] for each in desk.hooks.posted["/hook"])
    assert set(alert["annotations"]) == {"summary", "description", "runbook", "page"}
    wait_until(lambda: desk.heard("resolved"), "everybody hears that it is over", seconds=40)


def test_secrets_stay_private(desk: Desk) -> None:
    """Files are their owner's alone, and no command shows what is in them."""
    assert {file.stat().st_mode & 0o777 for file in desk.secrets.iterdir()} == {0o600}
    shown = desk.project.make("status").stdout + desk.project.make("doctor").stdout
    assert "alerts are sent to: mail to ops@example.org, it@example.org, the webhook in" in shown
    assert desk.hooks.url not in shown
    assert PASSWORD not in shown


def test_failure_is_named_with_its_reason(desk: Desk) -> None:
    """A wrong password, and a webhook that is gone; the other one is told all the same."""
    desk.hooks.status = 404
    (desk.secrets / "alert_smtp_password").write_text("another")
    (desk.secrets / "alert_slack_url").unlink()
    desk.start()
    done = desk.project.make("alert-test")
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert "webhook NOT delivered" in said
    assert "unexpected status code 404" in said
    assert "email NOT delivered" in said
    assert "535" in said
    assert desk.hooks.url not in said
