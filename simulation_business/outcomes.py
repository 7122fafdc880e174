"""Simulate delayed outcomes that match the predictions on average."""

import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple

from mlstack.contract.target import (
    BinaryTarget,
    MulticlassTarget,
    RegressionTarget,
    Scored,
    Target,
)
from mlstack.contract.target import Outcome as OutcomeValue
from mlstack.prediction_log.prediction import Outcome
from mlstack.settings import Settings
from simulation_business.answers import as_number
from simulation_business.api_client import ApiClient, Refused
from simulation_business.model_errors import ModelErrors

log = logging.getLogger(__name__)

MAX_WAITING = 200_000
"""Maximum number of unreported outcomes; beyond that the oldest are dropped."""

_BATCH = 500
_RETRY_SECONDS = 5.0

_DEVIATION = 0.01
"""Deviation of a drawn number from the predicted one, as a share of the contract's range.

For models whose errors are not known: small enough not to look like a worse model.
"""


class _Waiting(NamedTuple):
    due_at: float
    outcome: Outcome


class Outcomes:
    """Draws outcomes of predictions and reports them when they are due.

    A class is drawn with its predicted probability, so these outcomes make the model calibrated. A
    number is as far from the predicted one as numbers were at training.

    Args:
        target: What is predicted.
        report: Reports outcomes, see `ApiClient.report`.
        draw_error: Draws how far a number is off, see `ModelErrors.draw`.
        share: Share of the predictions that get an outcome.
        delay: Seconds from a prediction to its outcome.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        target: Target,
        report: Callable[[Sequence[Outcome]], bool],
        draw_error: Callable[[random.Random], float | None],
        *,
        share: float,
        delay: float,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report, self._share, self._delay, self._clock = report, share, delay, clock
        self._target, self._draw_error = target, draw_error
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret
        self._waiting = deque[_Waiting]()
        self._try_at = 0.0
        self._reported = 0

    @classmethod
    def of(cls, settings: Settings, target: Target, api: ApiClient, seed: int) -> "Outcomes":
        """Create the outcomes according to the settings."""
        share, delay = settings.simulation_outcome_share, settings.simulation_outcome_seconds
        draw_error = ModelErrors(api.marginals).draw
        return cls(target, api.report, draw_error, share=share, delay=delay, seed=seed)

    @property
    def waiting(self) -> int:
        """Number of unreported outcomes."""
        return len(self._waiting)

    def note(self, prediction_id: str, scored: Scored) -> None:
        """Draw whether a prediction gets an outcome, and which."""
        if self._random.random() >= self._share:
            return
        outcome = Outcome(prediction_id, self._drawn(scored))
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

    def _drawn(self, scored: Scored) -> OutcomeValue:
        """Draw an outcome that is as probable as the model says."""
        match self._target:
            case BinaryTarget():
                return int(self._random.random() < as_number(scored))
            case RegressionTarget(range=(low, high)):
                error = self._draw_error(self._random)
                if error is None:
                    error = self._random.gauss(0, _DEVIATION * (high - low))
                return min(max(as_number(scored) + error, low), high)
            case MulticlassTarget(classes=classes):
                return self._random.choices(classes, scored.probabilities)[0]
