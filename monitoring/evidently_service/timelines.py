"""Draw the monitoring page's history, at most once a minute for each calculation."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlstack.contract import Contract
from mlstack.contract.target import MulticlassTarget
from mlstack.deployment.record import DeploymentState, HistoryEntry
from mlstack.errors import DeploymentError
from monitoring.evidently_service.history import SPAN, History, moment_of
from monitoring.evidently_service.monitor import State
from monitoring.evidently_service.timeline import timeline

_SPANS = {"Last day": timedelta(days=1), "Last 30 days": SPAN}
_MAX_DEPLOYMENTS = 5


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the page shows of the history.

    Args:
        charts: Title and chart of each span; none before the first calculation.
        deployments: The newest deployments of the longest span, newest first.
        notes: What is missing, and why.
    """

    charts: Sequence[tuple[str, str]]
    deployments: Sequence[HistoryEntry]
    notes: Sequence[str]


class Timelines:
    """The charts of the history; drawn when a page is requested. Thread-safe."""

    def __init__(self, contract: Contract, history: History, deployment: DeploymentState) -> None:
        self._history, self._deployment = history, deployment
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
        minute, calculation = now.replace(second=0, microsecond=0), state.calculation
        at = None if calculation is None else calculation.at
        wanted = (at, minute, self._history.version, tuple(deployments), tuple(notes))
        with self._lock:
            if self._drawn is None or self._drawn[0] != wanted:
                charts = self._charts(state, deployments, now)
                newest = [entry for entry in deployments if entry.at >= now - SPAN]
                drawn = Drawn(charts, newest[: -_MAX_DEPLOYMENTS - 1 : -1], notes)
                self._drawn = wanted, drawn
            return self._drawn[1]

    def _charts(
        self, state: State, deployments: Sequence[HistoryEntry], now: datetime
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
                    timeline(moments, deployed, None, now, span),
                    self._figure,
                ),
            )
            for number, (title, span) in enumerate(_SPANS.items())
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
