"""Propose the parameters of trials with TPE."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import hyperopt
import numpy as np

Space = Mapping[str, Any]

_suggest: Final = partial(hyperopt.tpe.suggest, verbose=False)


class Proposals:
    """Asks TPE for one trial after the other, and tells it their losses.

    A proposal depends on the seed and on what was told before it, and on nothing else. Trials
    without a loss yet count as bad ones, so TPE does not propose them twice.
    """

    def __init__(self, space: Space, seed: int) -> None:
        self._space = dict(space)
        self._domain = hyperopt.Domain(None, self._space)
        self._trials = hyperopt.Trials()
        self._random = np.random.default_rng(seed)

    def ask(self) -> dict[str, Any]:
        """Return the parameters of the next trial."""
        proposed = _suggest(
            self._trials.new_trial_ids(1),
            self._domain,
            self._trials,
            int(self._random.integers(2**31 - 1)),
        )
        self._trials.insert_trial_docs(proposed)
        self._trials.refresh()
        drawn = proposed[0]["misc"]["vals"]
        found: dict[str, Any] = hyperopt.space_eval(
            self._space, {name: values[0] for name, values in drawn.items() if values}
        )
        return found

    def tell(self, number: int, loss: float) -> None:
        """Report the loss of a trial, counted from 1; infinite if it failed."""
        trial = self._trials.trials[number - 1]
        trial["result"] = (
            {"status": hyperopt.STATUS_OK, "loss": loss}
            if np.isfinite(loss)
            else {"status": hyperopt.STATUS_FAIL}
        )
        trial["state"] = hyperopt.JOB_STATE_DONE
