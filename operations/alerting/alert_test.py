"""Send a test alert and follow it to everybody who is told about alerts (`make alert-test`).

For each way it says whether the message was delivered, or why not; the exit code is 1 if one was
not. A message is delivered when the mail server or the webhook has taken it.
"""

import os
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from mlstack import command_line, environments
from mlstack.command_line import say
from mlstack.settings import Settings
from mlstack.waiting import Unavailable, wait_until
from operations.alerting.alertmanager import Counts, Running
from operations.alerting.configuration import TEST_ALERT
from operations.alerting.receivers import NOBODY, Receivers
from operations.errors import StackError
from operations.stack import runs_in_containers

SECONDS = 30.0
"""Alertmanager gives a test's messages up after 10 s."""

LOG_SECONDS = 3.0
"""Time limit for reasons to be in its log."""

_NO_REASON = "alertmanager logs no reason, so it still waits for an answer"
_FIRING = timedelta(seconds=8)
_REASON = re.compile(r'\berr="((?:[^"\\]|\\.)*)"')


def check_alerts(settings: Settings, running: Running) -> bool:
    """Send a test alert, print what became of it, and return whether everybody was told.

    Raises StackError if nobody is to be told, or Alertmanager does not know them yet.
    """
    receivers = Receivers.load(settings)
    alertmanager = running.alertmanager
    if not receivers.described:
        raise StackError(NOBODY)
    if alertmanager.ways() != receivers.described.keys():
        raise StackError(
            "alertmanager was started with other receivers: make setup-model-serve restarts it"
        )
    message = _Message(running, receivers)
    alertmanager.send(_alert(settings, datetime.now(UTC)))
    say(f"sent {TEST_ALERT} to alertmanager at {alertmanager.url}")
    if not message.follow():
        return False
    say("A second message follows within a minute: that the test is over.")
    return True


class _Message:
    """A message that is about to be sent in every way."""

    def __init__(self, running: Running, receivers: Receivers) -> None:
        self._running, self._receivers = running, receivers
        self._ways = receivers.described
        self._before = running.alertmanager.counts()
        self._began = time.monotonic()
        self._delivered: dict[str, bool] = {}

    def follow(self) -> bool:
        """Print what becomes of it in each way; return whether it was delivered in all."""
        with suppress(Unavailable):
            wait_until(self._look, "", SECONDS)
        failed = [way for way in self._ways if not self._delivered.get(way)]
        # The log follows the counters.
        with suppress(Unavailable):
            wait_until(lambda: all(map(self._reason, failed)), "", LOG_SECONDS)
        for way in failed:
            say(f"  {way:<8} NOT delivered: {self._ways[way]}")
            say(f"           {self._reason(way) or _NO_REASON}")
        return not failed

    def _look(self) -> bool:
        for way, counts in self._running.alertmanager.counts().items():
            fate = _fate(self._before.get(way, Counts()), counts)
            if fate is not None and way in self._ways.keys() - self._delivered.keys():
                self._delivered[way] = fate
                if fate:
                    seconds = time.monotonic() - self._began
                    say(f"  {way:<8} delivered after {seconds:.1f} s: {self._ways[way]}")
        return self._delivered.keys() == self._ways.keys()

    def _reason(self, way: str) -> str:
        return _last_reason(self._running.log(), way, self._receivers.secrets)


def _fate(before: Counts, now: Counts) -> bool | None:
    """Return whether a message was delivered; None while it is being tried."""
    if now.delivered > before.delivered:
        return True
    return False if now.given_up > before.given_up else None


def _last_reason(log: str, way: str, secrets: Mapping[str, str]) -> str:
    """Return the last reason in a log, without secrets; empty if there is none."""
    reasons = _REASON.findall("\n".join(line for line in log.splitlines() if f"{way}[" in line))
    reason = str(reasons[-1]).replace('\\"', '"') if reasons else ""
    for name, secret in secrets.items():
        reason = reason.replace(secret, f"(the content of .secrets/{name})")
    return reason


def _alert(settings: Settings, moment: datetime) -> dict[str, Any]:
    return {
        # The moment makes it an alert of its own, and so a message of its own.
        "labels": {"alertname": TEST_ALERT, "severity": "warning", "sent": moment.isoformat()},
        "annotations": {
            "summary": "This is a test of the way on which alerts reach you",
            "description": "Nothing is wrong. Somebody has run make alert-test.",
            "runbook": "Nothing.",
            "page": settings.monitor_page,
        },
        "startsAt": moment.isoformat(),
        "endsAt": (moment + _FIRING).isoformat(),
    }


def _running(environment: str, settings: Settings) -> Running:
    # The environments install different packages.
    if runs_in_containers(environment):
        from operations.containers.alerting import find_alertmanager  # noqa: PLC0415 - see above

        return find_alertmanager()
    from operations.embedded import alerting  # noqa: PLC0415 - see above

    return alerting.find_alertmanager(settings)


def main() -> int:
    """Test the active environment's alerts."""
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    return 0 if check_alerts(settings, _running(environment, settings)) else 1


if __name__ == "__main__":
    command_line.run(main)
