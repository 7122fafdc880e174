"""Check responses of the servers, and compute statistics of them."""

import math
from collections.abc import Sequence
from statistics import quantiles
from typing import Any, TypeGuard


def is_chance(value: Any) -> TypeGuard[float]:
    """Return whether a value of a JSON document is a probability."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; NaN without values."""
    return sum(values) / len(values) if values else math.nan


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated; NaN without values."""
    if len(values) < 2:  # noqa: PLR2004 - nothing to interpolate
        return values[0] if values else math.nan
    return quantiles(values, n=100, method="inclusive")[percent - 1]
