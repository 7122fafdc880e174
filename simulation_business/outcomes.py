"""Simulate delayed outcomes that match the predictions on average."""

import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from mlstack.prediction_log.prediction import Outcome
from mlstack.settings import Settings
from simulation_business.api_client import Refused

log = logging.getLogger(__name__)

MAX_WAITING = 200_000
"""Maximum number of unreported outcomes; beyond that the oldest are dropped."""

_BATCH = 500
_RETRY_SECONDS = 5.0


class _Waiting(NamedTuple):
    due_at: float
    outcome: Outcome


class Outcomes:
    """Draws outcomes of predictions and reports them when they are due.

    A customer is positive with the predicted probability, so these outcomes make the model
    calibrated.

    Args:
        report: Reports outcomes, see `ApiClient.report`.
        share: Share of the predictions that get an outcome.
        delay: Seconds from a prediction to its outcome.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        report: Callable[[Sequence[Outcome]], bool],
        share: float,
        delay: float,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report, self._share, self._delay, self._clock = report, share, delay, clock
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret
        self._waiting = deque[_Waiting]()
        self._try_at = 0.0
        self._reported = 0

    @classmethod
    def of(
        cls, settings: Settings, report: Callable[[Sequence[Outcome]], bool], seed: int
    ) -> "Outcomes":
        """Create the outcomes according to the settings."""
        share, delay = settings.simulation_outcome_share, settings.simulation_outcome_seconds
        return cls(report, share, delay, seed)

    @property
    def waiting(self) -> int:
        """Number of unreported outcomes."""
        return len(self._waiting)

    def note(self, prediction_id: str, chance: float) -> None:
        """Draw whether a prediction gets an outcome, and which."""
        if self._random.random() >= self._share:
            return
        outcome = Outcome(prediction_id, _drawn(chance, self._random))
        if len(self._waiting) == MAX_WAITING:
            self._waiting.popleft()
            log.warning("too many outcomes wait for the server: the oldest is dropped")
        self._waiting.append(_Waiting(self._clock() + self._delay, outcome))

    def report_due(self) -> None:
        """Report due outcomes; keep those that the server cannot accept now."""
        now = self._clock()
        if now >= self._try_at and not self._report_until(now):
            self._try_at = now + _RETRY_SECONDS

    def report_all(self) -> bool:
        """Report all outcomes, due or not; return whether the server was available."""
        return self._report_until(math.inf)

    def take_reported(self) -> int:
        """Return how many outcomes the server accepted since the last call."""
        reported, self._reported = self._reported, 0
        return reported

    def _report_until(self, latest: float) -> bool:
        while self._waiting and self._waiting[0].due_at <= latest:
            first = islice(self._waiting, _BATCH)
            batch = [waiting.outcome for waiting in first if waiting.due_at <= latest]
            try:
                if not self._report(batch):
                    return False
                self._reported += len(batch)
            except Refused as error:
                # The server would reject them later too.
                log.warning("%d outcomes were rejected: %s", len(batch), error)
            for _ in batch:
                self._waiting.popleft()
        return True


def _drawn(chance: float, draws: random.Random) -> bool:
    """Draw an outcome that is as probable as the model says."""
    return draws.random() < chance
