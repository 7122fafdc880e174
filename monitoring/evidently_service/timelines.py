"""Draw the monitoring page's history, at most once a minute for each calculation."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from mlstack.contract import Contract
from mlstack.contract.target import MulticlassTarget
from mlstack.deployment.record import DeploymentState, HistoryEntry
from mlstack.errors import DeploymentError
from monitoring.evidently_service.alert_history import Fired
from monitoring.evidently_service.history import SPAN, SPANS, History, moment_of
from monitoring.evidently_service.monitor import State
from monitoring.evidently_service.timeline import Firing, timeline
from monitoring.evidently_service.watch import Watch

_TITLES = ("Last day", "Last 30 days")
_LISTED = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the page shows of the history.

    Args:
        charts: Title and chart of each span; none before the first calculation.
        deployments: The newest deployments of the longest span, newest first.
        fired: The newest alerts of the shortest span, newest first.
        notes: What is missing, and why.
    """

    charts: Sequence[tuple[str, str]]
    deployments: Sequence[HistoryEntry]
    fired: Sequence[Firing]
    notes: Sequence[str]


class Timelines:
    """The charts of the history; drawn when a page is requested. Thread-safe."""

    def __init__(
        self,
        contract: Contract,
        history: History,
        deployment: DeploymentState,
        fired: Watch[Fired],
    ) -> None:
        self._history, self._deployment, self._fired = history, deployment, fired
        self._figure = "logloss" if isinstance(contract.target, MulticlassTarget) else "rmse"
        self._lock = threading.Lock()
        self._drawn: tuple[tuple[object, ...], Drawn] | None = None

    def draw(self, state: State, storage_fault: str) -> Drawn:
        """Return the charts up to now; the last moment is that of the calculation.

        `storage_fault` says why MongoDB does not answer; empty if it does.
        """
        now, notes = datetime.now(UTC), list[str]()
        try:
            deployments = [entry for entry in self._deployment.history() if entry.succeeded]
        except DeploymentError as error:
            deployments = []
            notes.append(f"Deployments are not marked: {error}.")
        notes += self._history_notes(storage_fault)
        fired, fault = self._fired.read()
        if fault:
            fired = None
            notes.append(f"Alerts are not marked: {fault}.")
        minute, calculation = now.replace(second=0, microsecond=0), state.calculation
        at = None if calculation is None else calculation.at
        alerts = [firing.name for each in (fired or {}).values() for firing in each]
        wanted = (at, minute, self._history.version, (*deployments, *alerts, *notes))
        with self._lock:
            if self._drawn is None or self._drawn[0] != wanted:
                charts = self._charts(state, deployments, fired, now)
                newest = [entry for entry in deployments if entry.at >= now - SPAN]
                today = [] if fired is None else fired[SPANS[0]]
                drawn = Drawn(charts, _last(newest), _last(today), notes)
                self._drawn = wanted, drawn
            return self._drawn[1]

    def _charts(
        self,
        state: State,
        deployments: Sequence[HistoryEntry],
        fired: Fired | None,
        now: datetime,
    ) -> list[tuple[str, str]]:
        # Importing matplotlib takes a second; the service accepts rows during that time.
        from monitoring.evidently_service.timeline_chart import (  # noqa: PLC0415 - see above
            draw_timeline,
        )

        moments = [*self._history.moments()]
        if state.calculation is not None and state.calculator is not None:
            moments.append(moment_of(state.calculation, state.calculator.reference.quality, now))
        if not moments:
            return []
        deployed = [entry.at for entry in deployments]
        return [
            (
                title,
                draw_timeline(
                    f"time{number}",
                    title,
                    timeline(moments, deployed, None if fired is None else fired[span], now, span),
                    self._figure,
                ),
            )
            for number, (title, span) in enumerate(zip(_TITLES, SPANS, strict=True))
        ]

    def _history_notes(self, storage_fault: str) -> list[str]:
        if not storage_fault:
            return []
        notes = []
        if not self._history.loaded:
            notes.append("The time before the service's start is missing.")
        if waiting := self._history.waiting():
            moments = "1 moment waits" if waiting == 1 else f"{waiting} moments wait"
            notes.append(f"{moments} in memory; a restart before MongoDB answers loses it.")
        return [f"MongoDB does not answer. {' '.join(notes)}"] if notes else []


def _last(entries: Sequence[T]) -> Sequence[T]:
    return entries[: -_LISTED - 1 : -1]
