"""Draw batches of customers that vary by time of day, with drift if requested."""

import math
import random
from datetime import UTC, datetime

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift
from mlstack.settings import Settings
from mlstack.waiting import Stop
from simulation_business.options import Options
from simulation_business.population import Population

_BUSIEST_HOUR = 14
_SWING = 0.7
"""The busiest hour has 1 + this times the average, the quietest 1 - this."""

_KEYS = 1000

_EVENNESS = 4.0
"""Shape of the gamma distribution of the load per minute: larger is more even."""


class Rhythm:
    """Draws numbers of customers: more by day than by night, with random variation.

    `per_minute` is the average over a day. The same seed draws the same numbers at the same times.
    """

    def __init__(self, per_minute: float, seed: int) -> None:
        self._per_minute = per_minute
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret

    def draw(self, at: datetime, seconds: float) -> int:
        """Draw the size of a batch that covers `seconds` around a time of day."""
        busyness = self._random.gammavariate(_EVENNESS, 1 / _EVENNESS)
        expected = self.average(seconds) * day_curve(at) * busyness
        # Customers come independently: the times between them are exponential.
        count, passed = 0, self._random.expovariate(1.0)
        while passed < expected:
            count += 1
            passed += self._random.expovariate(1.0)
        return count

    def average(self, seconds: float) -> float:
        """Return the average number of customers in `seconds`."""
        return self._per_minute * seconds / 60


def day_curve(at: datetime) -> float:
    """Return the load at a time of day, relative to the day's average."""
    hour = at.hour + at.minute / 60 + at.second / 3600
    return 1 + _SWING * math.cos((hour - _BUSIEST_HOUR) / 24 * 2 * math.pi)


class Business:
    """Draws batches of customers.

    Raises DriftError if there is no such drift, or the file next to the contract is invalid.
    """

    def __init__(
        self, contract: Contract, settings: Settings, options: Options, stop: Stop | None = None
    ) -> None:
        draws = random.Random(options.seed)  # noqa: S311 - simulation, no secret
        seeds = [draws.getrandbits(32) for _ in range(4)]
        # Before the sample is read, so that a wrong name fails at once.
        self._drifting = None
        if options.drift is not None:
            drift = load_drift(contract, drifts_path(settings.contract_path), options.drift)
            self._drifting = DriftingCustomers(contract, drift, seeds[0])
        self._seconds = settings.simulation_seconds
        self._rhythm = Rhythm(options.rate, seeds[1])
        self._key_name = contract.key.name if contract.key else None
        self._keys = random.Random(seeds[3])  # noqa: S311 - simulation, no secret
        self._population = Population(contract, settings, seeds[2], stop, options.give_up)

    def next_batch(self) -> list[Customer]:
        """Draw the customers who come now; may be empty."""
        return self._draw(self._rhythm.draw(datetime.now(UTC), self._seconds))

    def average_batch(self) -> list[Customer]:
        """Draw an average number of customers, at least one."""
        return self._draw(max(1, round(self._rhythm.average(self._seconds))))

    def _draw(self, count: int) -> list[Customer]:
        customers = self._population.draw(count)
        if self._drifting:
            customers = self._drifting.apply(customers)
        if self._key_name is None:
            return customers
        return [{**customer, self._key_name: self._draw_key()} for customer in customers]

    def _draw_key(self) -> str:
        """Draw the key of one of a thousand customers, who come again and again."""
        return f"simulated-{self._keys.randrange(_KEYS):03}"
