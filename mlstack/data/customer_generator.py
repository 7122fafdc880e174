"""Customers as the business sends them, drawn by the contract."""

import random

from mlstack.contract import (
    CategoryFeature,
    Contract,
    Feature,
    NumberFeature,
    OrdinalFeature,
    Value,
)
from mlstack.contract.customer_schema import Customer
from mlstack.data.sample_customers import sample_customers


class CustomerGenerator:
    """Draws valid customers.

    With a sample in the contract these are its customers, so that features go together as
    they do in the real table; without one each feature is drawn evenly from all it may be.

    Args:
        contract: What a customer is.
        seed: The same seed draws the same customers.
    """

    def __init__(self, contract: Contract, seed: int) -> None:
        self._contract = contract
        self._random = random.Random(seed)  # noqa: S311 - simulation, no secret
        self._known = sample_customers(contract)

    def draw(self, count: int) -> list[Customer]:
        """Draws `count` customers, with replacement."""
        if self._known:
            return [dict(customer) for customer in self._random.choices(self._known, k=count)]
        return [
            {feature.name: self._even(feature) for feature in self._contract.features}
            for _ in range(count)
        ]

    def _even(self, feature: Feature) -> Value:
        if isinstance(feature, CategoryFeature):
            return self._random.choice(feature.values)
        if isinstance(feature, OrdinalFeature):
            return self._random.choice(feature.values)
        if isinstance(feature, NumberFeature):
            return self._random.uniform(*feature.range)
        return self._random.randint(*feature.range)
