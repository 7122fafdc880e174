"""Stop the training of trials that can no longer become the best."""

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any, Final

import xgboost

_FIRST_ROUND: Final = 16
"""Before it, losses say little."""


def is_hopeless(losses: Sequence[float], rounds: int, rival: float) -> bool:
    """Say whether a trial stays worse than `rival`, even with all `rounds`.

    `losses` are those on the validation rows after each round so far. Boosting gains less with
    each doubling of the trees; so further doublings are assumed to gain as much as the last one.
    """
    done = len(losses)
    if done < _FIRST_ROUND:
        return False
    best = min(losses)
    gain = min(losses[: done // 2]) - best
    return best - gain * log2(rounds / done) > rival


class HopelessStop(xgboost.callback.TrainingCallback):
    """Ends a training that is hopeless, or that nobody needs any more.

    Args:
        rounds: How many rounds the training may have.
        rival: The loss to beat, infinite if there is none.
        is_unwanted: Returns whether nobody needs the training any more.
    """

    def __init__(self, rounds: int, rival: float, is_unwanted: Callable[[], bool]) -> None:
        super().__init__()
        self._rounds, self._rival, self._is_unwanted = rounds, rival, is_unwanted
        self.has_stopped = False
        """Whether the training was hopeless."""

    def after_iteration(
        self,
        model: Any,  # noqa: ARG002 - the signature is XGBoost's
        epoch: int,  # noqa: ARG002 - the same
        evals_log: Mapping[str, Mapping[str, Any]],
    ) -> bool:
        """Return whether training ends after this round."""
        [(_, metrics)] = evals_log.items()
        [losses] = metrics.values()
        self.has_stopped = is_hopeless(losses, self._rounds, self._rival)
        return self.has_stopped or self._is_unwanted()
