"""What `make alert-test` reads from Alertmanager, and what it says of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlstack.settings import Settings
from operations.alerting import alert_test
from operations.alerting.alertmanager import Alertmanager, Counts, Running
from operations.alerting.receivers import SLACK_URL, WEBHOOK_URL
from operations.containers import credentials
from operations.errors import StackError
from tests.support.ports import free_port

HOOK = "https://hooks.example/T0/secret"
STATUS = json.dumps(
    {
        "config": {
            "original": "receivers:\n- name: people\n  slack_configs: []\n  webhook_configs: []"
        }
    }
)
LOG = (
    'level=warn receiver=people integration=webhook[0] msg="Notify attempt failed" err="early"\n'
    'level=error msg="Notify for alerts failed" err="people/webhook[0]: notify retry canceled: '
    f'Post \\"{HOOK}\\": unexpected status code 404"\n'
)


def metrics(**counts: tuple[int, int, int]) -> str:
    """Attempts, failed attempts and messages given up, as Debian's release and later ones write."""
    return "\n".join(
        f'alertmanager_notification_requests_total{{integration="{way}"}} {tried}\n'
        f'alertmanager_notification_requests_failed_total{{integration="{way}"}} {failed}\n'
        f'alertmanager_notifications_failed_total{{integration="{way}",reason="other"}} {given_up}'
        for way, (tried, failed, given_up) in counts.items()
    )


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What Alertmanager answers to each reading of its metrics; two webhooks are set."""
    monkeypatch.setattr(credentials, "FOLDER", tmp_path)
    monkeypatch.setattr(alert_test, "SECONDS", 2)
    monkeypatch.setattr(alert_test, "LOG_SECONDS", 0)
    for name in (SLACK_URL, WEBHOOK_URL):
        (tmp_path / name).write_text(HOOK)
    answers: list[str] = []

    def ask(url: str, data: Any) -> tuple[int, bytes]:
        if url.endswith("/metrics"):
            return 200, (answers.pop(0) if len(answers) > 1 else answers[0]).encode()
        return 200, (STATUS if data is None else "").encode()

    monkeypatch.setattr("operations.alerting.alertmanager.ask", ask)
    return answers


def check(log: str = "") -> bool:
    return alert_test.check_alerts(Settings(), Running(Alertmanager("http://am"), lambda: log))


def test_counts_are_read_of_old_and_new_releases(answers: list[str]) -> None:
    answers.append(metrics(email=(5, 2, 1)))
    assert Alertmanager("http://am").counts() == {"email": Counts(3, 2, 1)}


def test_message_that_arrives_everywhere_is_a_success(
    answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was sent before the test does not count."""
    answers += [metrics(slack=(4, 4, 2), webhook=(1, 0, 0))] * 2
    answers += [metrics(slack=(5, 4, 2), webhook=(2, 0, 0))]
    assert check()
    said = capsys.readouterr().out
    for way in ("slack", "webhook"):
        assert f"  {way:<8} delivered after 0." in said


def test_failure_says_why_without_the_url(
    answers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The last reason counts; an attempt that is repeated is no failure yet."""
    answers += [metrics(slack=(0, 0, 0), webhook=(0, 0, 0))]
    answers += [metrics(slack=(1, 0, 0), webhook=(1, 1, 0))]
    answers += [metrics(slack=(1, 0, 0), webhook=(1, 1, 1))]
    assert not check(LOG)
    said = capsys.readouterr().out
    assert "webhook  NOT delivered" in said
    assert 'Post "(the content of .secrets/alert_' in said
    assert "unexpected status code 404" in said
    assert HOOK not in said


def test_message_without_an_end_is_a_failure(
    answers: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alert_test, "SECONDS", 0)
    answers += [metrics(slack=(0, 0, 0), webhook=(0, 0, 0))]
    assert not check()
    said = capsys.readouterr().out
    assert said.count("NOT delivered") == 2
    assert "it still waits for an answer" in said


def test_receivers_that_are_not_in_force_are_named(answers: list[str]) -> None:
    """They were set after Alertmanager was started."""
    answers += [metrics()]
    (credentials.FOLDER / SLACK_URL).unlink()
    with pytest.raises(StackError, match="started with other receivers: make setup-model-serve"):
        check()


def test_no_receiver_is_an_error(answers: list[str]) -> None:
    answers += [metrics()]
    for name in (SLACK_URL, WEBHOOK_URL):
        (credentials.FOLDER / name).unlink()
    with pytest.raises(StackError, match="nobody is told about alerts: set ALERT_MAIL_TO"):
        check()


def test_alertmanager_that_is_down_is_named() -> None:
    with pytest.raises(
        StackError, match=r"alertmanager at .*: it is not running.*; see make status"
    ):
        Alertmanager(f"http://127.0.0.1:{free_port()}").counts()
