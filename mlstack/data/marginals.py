"""How each feature is distributed among the training rows, one by one, and a model's errors.

Marginals are kept with a run. Simulators draw customers from them if the contract has no sample.
They hold shares of the contract's values and quantiles of numbers, but no row and no text of the
table. Simulators' images have no pandas, so only what training calls needs it.
"""

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from mlstack.contract import (
    ChoiceFeature,
    Contract,
    DateFeature,
    Feature,
    NumberFeature,
    Value,
)
from mlstack.contract.customer_schema import Customer
from mlstack.contract.days import day_number, day_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_EPOCH = "1970-01-01"
"""Base of a date that has no other one."""

_QUANTILES = tuple((i + 0.5) / 100 for i in range(100))
"""The lowest and highest values, which may name somebody, are left out."""


class Marginal(BaseModel):
    """The distribution of one feature: shares of its values, or quantiles of its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: float = Field(default=0, ge=0, le=1)
    """Share of the rows without a value."""
    shares: tuple[float, ...] = ()
    """Share of each of the contract's values among the others, in the contract's order."""
    quantiles: tuple[float, ...] = ()
    """Equally likely numbers, ascending; of a date, days since its base."""


class Marginals(BaseModel):
    """The distributions of all features of a contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    contract: str
    """Digest of the contract that they belong to."""
    features: dict[str, Marginal]
    errors: tuple[float, ...] = ()
    """Quantiles of a predicted number's errors on the test rows: target minus prediction."""

    @classmethod
    def fit(cls, rows: "pd.DataFrame", contract: Contract) -> Self:
        """Describe clean rows."""
        features = {f.name: _fit(rows, f) for f in contract.features}
        return cls(contract=contract.digest, features=features)

    def with_errors(self, errors: "NDArray[np.floating[Any]]") -> Self:
        """Add the errors of a model that predicts a number."""
        import numpy as np  # noqa: PLC0415 - simulators have no numpy, see above

        return self.model_copy(update={"errors": _rounded(np.quantile(errors, _QUANTILES))})

    def text(self) -> str:
        """Write the marginals as JSON."""
        return self.model_dump_json(exclude_defaults=True)

    def draw(self, contract: Contract, chance: random.Random) -> Customer:
        """Draw a valid customer, each feature independently of the others.

        Only a date depends on its base, as a model sees the days between them.
        """
        customer: Customer = {}
        for feature in contract.base_first:
            base = None
            if isinstance(feature, DateFeature):
                base = customer[feature.since] if feature.since else _EPOCH
            customer[feature.name] = _draw(feature, self.features[feature.name], chance, base)
        return {name: customer[name] for name in contract.feature_names}

    def draw_error(self, chance: random.Random) -> float | None:
        """Draw how far a target is from its prediction; None if that is not known."""
        return _between(self.errors, chance.random()) if self.errors else None


def _fit(rows: "pd.DataFrame", feature: Feature) -> Marginal:
    column = rows[feature.name]
    missing = float(column.isna().mean())
    given = column.dropna()
    if isinstance(feature, ChoiceFeature):
        counted = given.value_counts(normalize=True).to_dict()
        shares = tuple(round(float(counted.get(value, 0)), 6) for value in feature.values)
        return Marginal(missing=missing, shares=shares)
    if isinstance(feature, DateFeature):
        from mlstack.data.dates import days_since  # noqa: PLC0415 - needs pandas, see above

        given = days_since(rows, feature, _EPOCH).dropna()
    numbers = given.astype("float64").quantile(list(_QUANTILES)) if len(given) else ()
    return Marginal(missing=missing, quantiles=_rounded(numbers))


def _rounded(numbers: Iterable[float]) -> tuple[float, ...]:
    return tuple(float(f"{number:.12g}") for number in numbers)


def _draw(
    feature: Feature, marginal: Marginal, chance: random.Random, base: Value | None
) -> Value | None:
    if chance.random() < marginal.missing:
        return None
    if isinstance(feature, DateFeature):
        first, last = map(day_number, feature.range)
        if base is None or not marginal.quantiles:
            return day_text(chance.randint(first, last))
        days = round(_between(marginal.quantiles, chance.random()))
        return day_text(min(max(day_number(str(base)) + days, first), last))
    if isinstance(feature, ChoiceFeature):
        values: Sequence[Value] = feature.values
        return chance.choices(values, marginal.shares)[0]
    low, high = feature.range
    number = min(max(_between(marginal.quantiles, chance.random()), low), high)
    return number if isinstance(feature, NumberFeature) else round(number)


def _between(quantiles: Sequence[float], share: float) -> float:
    """Interpolate between two neighbouring quantiles."""
    place = share * (len(quantiles) - 1)
    below = int(place)
    lower = quantiles[below]
    # Repeated values stay as they are, without errors of rounding.
    upper = quantiles[min(below + 1, len(quantiles) - 1)]
    return lower if lower == upper else lower + (place - below) * (upper - lower)
