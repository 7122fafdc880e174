"""Keep the results of the last 30 days: in memory for the page, in MongoDB for restarts."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from mlstack.quality.drift_history import HistoryStore, Moment
from mlstack.quality.results import Quality, headline

if TYPE_CHECKING:
    # Importing it loads Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation

INTERVAL: Final = timedelta(minutes=5)
"""Time between two moments; a change is noted sooner, after `_CHANGE_INTERVAL`."""

_CHANGE_INTERVAL = timedelta(minutes=1)
SPAN: Final = timedelta(days=30)
SPANS: Final = (timedelta(days=1), SPAN)
"""What the page shows."""


def moment_of(calculation: "Calculation", trained: Quality | None, at: datetime) -> Moment:
    """Summarise a calculation that is up to date; `trained` is the quality at training."""
    prediction, rows = calculation.prediction, calculation.predictions
    return Moment(
        # MongoDB keeps milliseconds.
        at=at.replace(microsecond=at.microsecond // 1000 * 1000),
        run_id=calculation.run_id,
        drifted=calculation.drift.drifted_features,
        share_drifted=calculation.drift.share_drifted,
        prediction_drifted=prediction is not None and prediction.drifted,
        coverage=calculation.outcomes / rows if rows else 0.0,
        measured=_error(calculation.measured),
        estimated=_error(calculation.estimated),
        trained=_error(trained),
    )


class History:
    """The moments of the last 30 days, oldest first. Thread-safe.

    MongoDB may be away: moments wait in memory until it is back, and those of the time before the
    service's start are read then.
    """

    def __init__(self, store: HistoryStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._moments: tuple[Moment, ...] = ()
        self._waiting: tuple[Moment, ...] = ()
        self.version = 0
        """Grows with each change of the moments."""
        self.loaded = False
        """Whether the time before the service's start has been read."""

    def moments(self) -> Sequence[Moment]:
        """Return all moments."""
        return self._moments

    def waiting(self) -> int:
        """Return the number of moments that are not in MongoDB yet."""
        return len(self._waiting)

    def note(self, moment: Moment) -> None:
        """Add a moment if it is due."""
        with self._lock:
            if self._moments and not _is_due(self._moments[-1], moment):
                return
            self._moments = _newest((*self._moments, moment), moment.at)
            self.version += 1
            self._waiting = _newest((*self._waiting, moment), moment.at)

    def sync(self) -> None:
        """Read the time before the start once, and store new moments.

        Raises StorageUnavailable.
        """
        if not self.loaded:
            before = self._store.load(datetime.now(UTC) - SPAN)
            with self._lock:
                self._moments = (*before, *self._moments)
                self.version += 1
            self.loaded = True
        if waiting := self._waiting:
            self._store.save(waiting)
            with self._lock:
                self._waiting = tuple(m for m in self._waiting if m.at > waiting[-1].at)


def _is_due(last: Moment, moment: Moment) -> bool:
    changed = _verdict(moment) != _verdict(last)
    return moment.at - last.at >= (_CHANGE_INTERVAL if changed else INTERVAL)


def _verdict(moment: Moment) -> tuple[object, ...]:
    return moment.run_id, moment.drifted, moment.prediction_drifted


def _newest(moments: tuple[Moment, ...], now: datetime) -> tuple[Moment, ...]:
    return tuple(moment for moment in moments if moment.at > now - SPAN)


def _error(quality: Quality | None) -> float | None:
    return None if quality is None else headline(quality)[1]
