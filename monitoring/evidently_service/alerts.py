"""Read from Prometheus which alerts fire."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlstack.errors import MlstackError
from mlstack.probes import OK, ask, why


class AlertsUnknown(MlstackError):
    """Prometheus does not say which alerts fire."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that fires, with the texts of its rule."""

    name: str
    severity: str
    summary: str
    runbook: str
    since: datetime


def ask_prometheus(prometheus: str, path: str) -> Any:
    """Return the data of an answer of Prometheus' API; raise AlertsUnknown if there is none."""
    status, body = ask(f"{prometheus}/api/v1/{path}", None)
    if status != OK:
        raise AlertsUnknown(f"Prometheus: {why(status, body)}")
    return json.loads(body)["data"]


def firing_alerts(prometheus: str) -> list[Alert]:
    """Return the alerts that fire, those that fire longest first; raise AlertsUnknown.

    Of those that say the same, such as of two workers, only the first one is returned.
    """
    found = [
        Alert(
            name=each["labels"]["alertname"],
            severity=each["labels"].get("severity", ""),
            summary=each["annotations"].get("summary", ""),
            runbook=each["annotations"].get("runbook", ""),
            since=datetime.fromisoformat(each["activeAt"]),
        )
        for each in ask_prometheus(prometheus, "alerts")["alerts"]
        if each["state"] == "firing"
    ]
    first: dict[tuple[str, str], Alert] = {}
    for alert in sorted(found, key=lambda alert: alert.since):
        first.setdefault((alert.name, alert.summary), alert)
    return list(first.values())
