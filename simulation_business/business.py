"""Batches of customers, as the business has them: by its rhythm, and as it drifts."""

import random
from datetime import UTC, datetime

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.settings import Settings
from simulation_business.options import Options
from simulation_business.rhythm import Rhythm


class Business:
    """Draws batches of customers.

    Args:
        contract: What a customer is.
        settings: How often a batch is due, and the contract's place: drifts stand beside it.
        options: Rate, drift and seed.

    Raises:
        DriftError: there is no such drift, or the file of drifts is at fault.
    """

    def __init__(self, contract: Contract, settings: Settings, options: Options) -> None:
        draws = random.Random(options.seed)  # noqa: S311 - simulation, no secret
        seeds = [draws.getrandbits(32) for _ in range(3)]
        # Before the sample is read: a wrong name should not have to wait for it.
        self._drifting = None
        if options.drift is not None:
            drift = load_drift(contract, drifts_path(settings.contract_path), options.drift)
            self._drifting = DriftingCustomers(contract, drift, seeds[0])
        self._seconds = settings.simulation_seconds
        self._rhythm = Rhythm(options.rate, seeds[1])
        self._customers = CustomerGenerator(contract, seeds[2])

    def next_batch(self) -> list[Customer]:
        """The customers who come now: more or fewer, by the rhythm; perhaps none."""
        return self._draw(self._rhythm.draw(datetime.now(UTC), self._seconds))

    def average_batch(self) -> list[Customer]:
        """As many customers as come on average, one at least."""
        return self._draw(max(1, round(self._rhythm.average(self._seconds))))

    def _draw(self, count: int) -> list[Customer]:
        customers = self._customers.draw(count)
        return self._drifting.apply(customers) if self._drifting else customers
