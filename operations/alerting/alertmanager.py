"""Ask a running Alertmanager, and send it alerts."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from mlstack.probes import OK, ask, why
from operations.errors import StackError

_CONFIGS = "_configs"
_COUNTER = re.compile(
    r"^alertmanager_(notification_requests|notification_requests_failed|notifications_failed)_total"
    r'\{[^}]*integration="(\w+)"[^}]*\} (\S+)$',
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Counts:
    """What Alertmanager has sent one way since it started.

    Args:
        delivered: Messages that were taken.
        failed_attempts: Attempts that failed; most are repeated.
        given_up: Messages that were not taken in all attempts.
    """

    delivered: float = 0
    failed_attempts: float = 0
    given_up: float = 0


class Alertmanager:
    """A running Alertmanager; every method raises StackError if it does not answer.

    Args:
        url: Its address.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def ways(self) -> frozenset[str]:
        """Return the ways in which it tells people: `email`, `slack` and `webhook`, or fewer."""
        status: Any = json.loads(self._ask("/api/v2/status"))
        configuration = yaml.safe_load(status["config"]["original"])
        return frozenset(
            key.removesuffix(_CONFIGS)
            for receiver in configuration["receivers"]
            for key in receiver
            if key.endswith(_CONFIGS)
        )

    def counts(self) -> Mapping[str, Counts]:
        """Return what it has sent in each way."""
        found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for name, way, value in _COUNTER.findall(self._ask("/metrics")):
            found[way][name] += float(value)
        counts = {}
        for way, values in found.items():
            failed = values["notification_requests_failed"]
            delivered = values["notification_requests"] - failed
            counts[way] = Counts(delivered, failed, values["notifications_failed"])
        return counts

    def send(self, alert: Mapping[str, Any]) -> None:
        """Send an alert as Prometheus does."""
        self._ask("/api/v2/alerts", [dict(alert)])

    def _ask(self, path: str, data: list[Any] | None = None) -> str:
        status, body = ask(f"{self.url}{path}", data)
        if status != OK:
            raise StackError(f"alertmanager at {self.url}: {why(status, body)}; see make status")
        return body.decode()


@dataclass(frozen=True, slots=True)
class Running:
    """This stack's Alertmanager.

    Args:
        alertmanager: At its address.
        log: Returns what it has logged since this object was made.
    """

    alertmanager: Alertmanager
    log: Callable[[], str]
