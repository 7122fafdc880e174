"""Figures of answers are what everybody understands by them."""

import math

import numpy as np
import pytest

from simulation_business.answers import mean, percentile


@pytest.mark.parametrize("percent", [50, 99])
@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0, 1.0, 2.0], [5.0] * 4, [*range(1000)]])
def test_percentile_equals_numpy(values: list[float], percent: int) -> None:
    """A percentile is the one that NumPy computes."""
    assert percentile(values, percent) == pytest.approx(np.percentile(values, percent))


def test_percentile_of_few_values() -> None:
    """Of one value it is that value, of no value NaN."""
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))
    assert math.isnan(mean([]))
