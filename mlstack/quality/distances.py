"""Distances between two samples of a column that do not depend on the column's unit.

Evidently computes them. It divides the Wasserstein distance by the deviation of the reference, but
by no less than 0.001, so a column of small numbers would never drift. Here both samples are in
standard deviations of the reference before Evidently sees them.

Importing this module takes two seconds.
"""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.quality.evidently_parts import evidently_parts

with evidently_parts():
    from evidently.legacy.calculations.stattests import (
        StatTest,
        jensenshannon_stat_test,
        register_stattest,
        wasserstein_stat_test,
    )
    from evidently.legacy.core import ColumnType

CONSTANT_SHARE: Final = 0.99
"""Share of equal values from which a column counts as constant.

A deviation that is estimated from the few other rows makes a chance difference look large.
"""

_ROUNDING = 1e-12
"""Relative difference up to which two numbers are equal: several roundings of a float."""

_FAR = 1e9
"""Maximum distance of a value from the reference, in its standard deviations; avoids overflows."""

Numbers = NDArray[np.float64]


def constant_value(reference: "pd.Series[float]") -> float | None:
    """Return the value of a constant column without missing values; None if it is not constant."""
    # At least half of a constant column is its value, so that is the median.
    middle = float(np.partition(reference.to_numpy(), len(reference) // 2)[len(reference) // 2])
    return middle if equals(reference, middle).mean() >= CONSTANT_SHARE else None


def equals(values: "pd.Series[float]", constant: float) -> "pd.Series[bool]":
    """Return which values equal the constant, apart from rounding."""
    with np.errstate(over="ignore"):
        return (values - constant).abs() <= _ROUNDING * abs(constant)


def wasserstein(reference: "pd.Series[float]", current: "pd.Series[float]") -> float:
    """Compute the Wasserstein distance in standard deviations of the reference.

    Both sides have finite values only, at least one, and the reference is not constant.
    """
    before, now = _standardise(*(np.asarray(each, np.float64) for each in (reference, current)))
    found = wasserstein_stat_test(
        pd.Series(before), pd.Series(now), ColumnType.Numerical, threshold=None
    )
    return float(found.drift_score)


def jensen_shannon(reference: "pd.Series[str]", current: "pd.Series[str]") -> float:
    """Compute the Jensen-Shannon distance of the labels' shares."""
    found = jensenshannon_stat_test(reference, current, ColumnType.Categorical, threshold=None)
    # Shares that are equal but for rounding can have a tiny negative divergence, whose root is NaN.
    return float(np.nan_to_num(found.drift_score))


def _standardise(reference: Numbers, current: Numbers) -> tuple[Numbers, Numbers]:
    """Express both sides in standard deviations of the reference, relative to its median."""
    # Scaling by a power of two is exact. Afterwards sums and squares neither overflow nor vanish.
    exponent = np.frexp(np.abs(reference).max())[1]
    with np.errstate(over="ignore"):
        before, now = np.ldexp(reference, -exponent), np.ldexp(current, -exponent)
        middle = np.median(before)
        before, now = before - middle, now - middle
        # A second scaling for values that differ little from each other.
        exponent = np.frexp(np.abs(before).max())[1]
        before, now = np.ldexp(before, -exponent), np.ldexp(now, -exponent)
        deviation = before.std()
        return before / deviation, np.clip(now / deviation, -_FAR, _FAR)


def _stat_test(
    reference: "pd.Series[float]", current: "pd.Series[float]", _: ColumnType, threshold: float
) -> tuple[float, bool]:
    score = wasserstein(reference, current)
    return score, score >= threshold


IN_DEVIATIONS: Final = StatTest(
    name="wasserstein_in_deviations",
    display_name="Wasserstein distance, in standard deviations of the reference",
    allowed_feature_types=[ColumnType.Numerical],
    default_threshold=0.1,
)
"""`wasserstein` as a test for Evidently's reports."""

register_stattest(IN_DEVIATIONS, _stat_test)
