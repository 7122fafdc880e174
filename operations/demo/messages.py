"""Watch whether Alertmanager tells somebody about the drift."""

from collections.abc import Mapping

from mlstack.errors import listing
from mlstack.probes import url_answers
from mlstack.settings import Settings
from operations.alerting.alertmanager import Alertmanager, Counts


class Messages:
    """Messages of the running Alertmanager; none are expected if it is down or has no receivers."""

    def __init__(self, settings: Settings) -> None:
        self._alertmanager = Alertmanager(settings.alertmanager_url)
        is_up = url_answers(f"{settings.alertmanager_url}/-/ready").ready
        self._ways = self._alertmanager.ways() if is_up else frozenset()
        self._before: Mapping[str, Counts] = {}

    @property
    def are_expected(self) -> bool:
        """Whether somebody is told about alerts."""
        return bool(self._ways)

    def begin(self) -> None:
        """Forget every message up to now."""
        self._before = self._alertmanager.counts()

    def seen(self) -> str:
        """Return how a message was delivered since then, or that it could not be; else ""."""
        now = self._alertmanager.counts()
        delivered, failed = [], []
        for way in sorted(self._ways):
            before, after = self._before.get(way, Counts()), now.get(way, Counts())
            if after.delivered > before.delivered:
                delivered.append(way)
            elif after.failed_attempts > before.failed_attempts:
                failed.append(way)
        if delivered:
            return f"by {listing(delivered)}"
        return "not delivered: make alert-test says why" if len(failed) == len(self._ways) else ""
