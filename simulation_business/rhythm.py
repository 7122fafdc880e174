"""How busy the business is: more by day than by night, and no minute like the other."""

import math
import random
from datetime import datetime

_BUSIEST_HOUR = 14
_SWING = 0.7
"""The busiest hour has 1 + this times the average, the quietest 1 - this."""

_CALM = 4.0
"""Shape of the gamma distribution of a minute's mood: the larger, the more even."""


class Rhythm:
    """Draws how many customers come.

    Args:
        per_minute: Customers a minute, averaged over a day.
        seed: The same seed draws the same numbers at the same times.
    """

    def __init__(self, per_minute: float, seed: int) -> None:
        self._per_minute = per_minute
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret

    def draw(self, at: datetime, seconds: float) -> int:
        """Customers of a batch that stands for `seconds` around a time of the day."""
        mood = self._random.gammavariate(_CALM, 1 / _CALM)
        expected = self.average(seconds) * day_curve(at) * mood
        # Each comes by himself: the times between two are exponential.
        count, passed = 0, self._random.expovariate(1.0)
        while passed < expected:
            count += 1
            passed += self._random.expovariate(1.0)
        return count

    def average(self, seconds: float) -> float:
        """Customers that come in `seconds` on average."""
        return self._per_minute * seconds / 60


def day_curve(at: datetime) -> float:
    """How busy a time of the day is; 1 on the day's average."""
    hour = at.hour + at.minute / 60 + at.second / 3600
    return 1 + _SWING * math.cos((hour - _BUSIEST_HOUR) / 24 * 2 * math.pi)
