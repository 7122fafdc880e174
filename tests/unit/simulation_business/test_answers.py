"""Figures of what servers answer."""

import math

import numpy as np
import pytest

from simulation_business.answers import mean, percentile


@pytest.mark.parametrize("percent", [50, 99])
@pytest.mark.parametrize("values", [[1.0, 2.0], [3.0, 1.0, 2.0], [5.0] * 4, [*range(1000)]])
def test_a_percentile_is_what_everybody_takes_for_it(values: list[float], percent: int) -> None:
    assert percentile(values, percent) == pytest.approx(np.percentile(values, percent))


def test_of_one_value_it_is_that_one_and_of_nothing_it_is_no_number() -> None:
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))
    assert math.isnan(mean([]))
