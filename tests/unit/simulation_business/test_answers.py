"""Figures of answers are what everybody understands by them."""

import math
from typing import Any

import numpy as np
import pytest

from mlstack.contract.target import Scored
from simulation_business.answers import mean, percentile, read_prediction
from tests.support.target_kinds import contract_of


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


@pytest.mark.parametrize(
    ("kind", "answer", "scored"),
    [
        ("binary", {"forecast": 0.25}, Scored(0.25)),
        ("binary", {"forecast": 1.5}, None),
        ("regression", {"forecast": -3}, Scored(-3)),
        ("regression", {"forecast": True}, None),
        ("regression", {"forecast": "3"}, None),
        (
            "multiclass",
            {"forecast": "lost", "probabilities": {"delivered": 0, "returned": 0.2, "lost": 0.8}},
            Scored("lost", (0, 0.2, 0.8)),
        ),
        ("multiclass", {"forecast": "lost"}, None),
        ("multiclass", {"forecast": "lost", "probabilities": {"lost": 1}}, None),
        ("multiclass", {"forecast": "gone", "probabilities": {}}, None),
    ],
)
def test_answer_of_each_kind_is_read(kind: str, answer: dict[str, Any], scored: Scored) -> None:
    """Anything else is no prediction."""
    assert read_prediction(answer, contract_of(kind)) == scored
