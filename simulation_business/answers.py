"""Check responses of the servers, and compute statistics of them."""

import math
from collections.abc import Mapping, Sequence
from statistics import quantiles
from typing import Any, TypeGuard

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PROBABILITIES
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Scored


def is_chance(value: object) -> TypeGuard[float]:
    """Return whether a value of a JSON document is a probability."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def read_prediction(answer: Mapping[str, Any], contract: Contract) -> Scored | None:
    """Return the prediction of a server's answer; None if it has none."""
    prediction, target = answer.get(contract.answer), contract.target
    match target:
        case BinaryTarget():
            return Scored(prediction) if is_chance(prediction) else None
        case RegressionTarget():
            if isinstance(prediction, bool) or not isinstance(prediction, int | float):
                return None
            return Scored(prediction)
        case MulticlassTarget():
            given = answer.get(PROBABILITIES)
            if prediction not in target.classes or not isinstance(given, dict):
                return None
            chances = [given.get(label) for label in target.classes]
            probabilities = tuple(chance for chance in chances if is_chance(chance))
            if len(probabilities) < len(chances):
                return None
            return Scored(prediction, probabilities)


def as_number(scored: Scored) -> float:
    """Return a number to take the mean of: the prediction, or the probability of its class."""
    if scored.probabilities is not None:
        return max(scored.probabilities)
    assert not isinstance(scored.prediction, str)  # noqa: S101 - classes have probabilities
    return scored.prediction


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean; NaN without values."""
    return sum(values) / len(values) if values else math.nan


def percentile(values: Sequence[float], percent: int) -> float:
    """Return a percentile, interpolated; NaN without values."""
    if len(values) < 2:  # noqa: PLR2004 - nothing to interpolate
        return values[0] if values else math.nan
    return quantiles(values, n=100, method="inclusive")[percent - 1]
