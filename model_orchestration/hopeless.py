"""Stop the training of trials that can no longer become the best."""

from collections.abc import Callable, Mapping, Sequence
from math import log2
from typing import Any, Final

import xgboost

_FIRST_ROUND: Final = 16
"""Before it, losses say little."""

_BELIEVED: Final = 0.25
"""Share of the observed decrease of the gains that is assumed to go on."""


def is_hopeless(losses: Sequence[float], rounds: int, rival: float) -> bool:
    """Say whether a trial stays worse than `rival`, even with all `rounds`.

    `losses` are those on the validation rows after each round so far. Boosting gains less with
    each doubling of the trees. If the last doubling gained 20 % less than the one before it, each
    further one is assumed to gain 5 % less than the one before it.
    """
    done = len(losses)
    if done < _FIRST_ROUND:
        return False
    best, half, quarter = (min(losses[: done // part]) for part in (1, 2, 4))
    gain, gain_before = half - best, quarter - half
    decrease = max(0.0, 1 - gain / gain_before) if gain_before > 0 else 0.0
    factor = 1 - _BELIEVED * decrease
    doublings = log2(rounds / done)
    # The sum of a geometric series, of which the last doubling may be a part.
    series = doublings if factor == 1 else factor * (1 - factor**doublings) / (1 - factor)
    return best - gain * series > rival


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
