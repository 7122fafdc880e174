"""Delayed outcomes: what became of customers, as the model had foreseen it on average."""

import logging
import math
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from mlstack.prediction_log.prediction import Outcome
from simulation_business.api_client import Refused

log = logging.getLogger(__name__)

MOST_WAITING = 200_000
"""Outcomes that wait for their time, or for the server; then the oldest are given up."""

_BATCH = 500
_RETRY_SECONDS = 5.0


class Reports(Protocol):
    """Takes outcomes; `api_client.ApiClient` is one."""

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        """See `ApiClient.report`."""


class _Waiting(NamedTuple):
    due_at: float
    outcome: Outcome


class Outcomes:
    """Draws outcomes of predictions and reports them when they are due.

    A customer leaves with the probability that was predicted: judged by these outcomes the
    model is calibrated.

    Args:
        server: Where outcomes are reported.
        share: Share of the predictions that have one.
        delay: Seconds from a prediction to its outcome.
        seed: The same seed draws the same outcomes.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        server: Reports,
        share: float,
        delay: float,
        seed: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._server, self._share, self._delay, self._clock = server, share, delay, clock
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret
        self._waiting = deque[_Waiting]()
        self._try_at = 0.0
        self._reported = 0

    @property
    def waiting(self) -> int:
        """Outcomes that are not reported yet."""
        return len(self._waiting)

    def note(self, prediction_id: str, chance: float) -> None:
        """Draws whether a prediction will have an outcome, and which."""
        if self._random.random() >= self._share:
            return
        outcome = Outcome(prediction_id, self._random.random() < chance)
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            log.warning("too many outcomes wait for the server: the oldest is given up")
        self._waiting.append(_Waiting(self._clock() + self._delay, outcome))

    def report_due(self) -> None:
        """Reports what is due; what the server cannot take now waits for another time."""
        now = self._clock()
        if now >= self._try_at and not self._report_until(now):
            self._try_at = now + _RETRY_SECONDS

    def report_all(self) -> bool:
        """Reports what waits, due or not; returns whether the server was there to take it."""
        return self._report_until(math.inf)

    def take_reported(self) -> int:
        """How many outcomes were taken by the server since this was asked last."""
        reported, self._reported = self._reported, 0
        return reported

    def _report_until(self, latest: float) -> bool:
        while self._waiting and self._waiting[0].due_at <= latest:
            first = islice(self._waiting, _BATCH)
            batch = [waiting.outcome for waiting in first if waiting.due_at <= latest]
            try:
                if not self._server.report(batch):
                    return False
                self._reported += len(batch)
            except Refused as error:
                # It would not take them another time either.
                log.warning("%d outcomes are refused: %s", len(batch), error)
            for _ in batch:
                self._waiting.popleft()
        return True
