"""Draw errors of the model in use, if it predicts a number: its answers do not have them."""

import logging
import random
import time
from collections.abc import Callable

from mlstack.data.marginals import Marginals
from mlstack.waiting import RetryLater
from simulation_business.api_client import Refused

log = logging.getLogger(__name__)

_SECONDS = 60.0


class ModelErrors:
    """Draws errors as the model made them on its test rows.

    Args:
        ask: Returns the marginals of the model in use, see `ApiClient.marginals`; called at most
            once a minute.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        ask: Callable[[], Marginals | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._clock = ask, clock
        self._ask_at = -float("inf")
        self._marginals: Marginals | None = None

    def draw(self, chance: random.Random) -> float | None:
        """Return target minus prediction; None if the server does not know the errors."""
        if self._clock() >= self._ask_at:
            self._ask_at = self._clock() + _SECONDS
            try:
                self._marginals = self._ask()
            except (RetryLater, Refused) as error:
                log.debug("the errors are those known before: %s", error)
        return self._marginals.draw_error(chance) if self._marginals else None
