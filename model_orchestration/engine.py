"""What a search needs from whatever trains its trials."""

from collections.abc import Callable
from typing import Any, Protocol

from mlstack.contract.target import Target
from model_orchestration.trials import Rows, Trial


class PendingTrial(Protocol):
    """A trial that was started."""

    def result(self) -> Trial:
        """Wait for the trial, which may have failed; an exception ends the search."""


class Engine(Protocol):
    """Trains trials, several of them at the same time."""

    def start(self, number: int, of: int, drawn: dict[str, Any], rival: float) -> PendingTrial:
        """Start a trial with drawn parameters; it stops if it can no longer beat the rival."""

    def close(self) -> None:
        """End the trials that are training; their results are of no use."""


OpenEngine = Callable[[Rows, Rows, Target], Engine]
"""Prepares an engine for training rows, validation rows and a target."""
