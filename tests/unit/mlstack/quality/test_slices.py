"""Slices of customers: who is in them, and what is measured of them."""

from typing import Any

import numpy as np
import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.data.customer_table import customer_table
from mlstack.quality.results import MIN_OUTCOMES, MIN_SLICE
from mlstack.quality.slices import measure_slices, slice_rows
from mlstack.quality.targets import measure
from tests.support.every_kind import TEXT

SLICED = TEXT.replace(
    "features:",
    "slices:\n  - {feature: weight, cuts: [1, 2.5]}\n  - {feature: items, cuts: [3, 10]}\n"
    "  - feature: size\n  - feature: country\n  - feature: insured\nfeatures:",
    1,
)
CONTRACT = Contract.parse(SLICED)
CUSTOMERS: list[dict[str, Any]] = [
    {"items": 3, "weight": 1.0, "size": 0, "country": "near", "insured": True},
    {"items": 10, "weight": 2.5, "size": 1, "country": "elsewhere", "insured": False},
    {"items": 9, "weight": 0.5},
]


def test_each_customer_is_in_one_slice_of_each_feature() -> None:
    """A cut begins a slice, and a missing value is a slice of its own."""
    rows = customer_table(CUSTOMERS, CONTRACT)
    found = {f"{each.feature} {each.label}": each.rows for each in slice_rows(CONTRACT, rows)}
    members = {name: np.flatnonzero(mask).tolist() for name, mask in found.items() if mask.any()}
    assert members == {
        "weight below 1": [2],
        "weight 1 to below 2.5": [0],
        "weight 2.5 or more": [1],
        "items 3 to 9": [0, 2],
        "items 10 or more": [1],
        "size small": [0],
        "size large": [1],
        "size not given": [2],
        "country near": [0],
        "country elsewhere": [1],
        "country not given": [2],
        "insured no": [1],
        "insured yes": [0],
        "insured not given": [2],
    }


def _predicted(rows: int, known: int) -> pd.DataFrame:
    """Return predictions of which the first are known, a quarter of them of insured customers."""
    draws = np.random.default_rng(1)
    customers = [{**CUSTOMERS[0], "insured": number % 4 == 0} for number in range(rows)]
    table = customer_table(customers, CONTRACT)
    chances = draws.random(rows)
    outcomes = (draws.random(rows) < chances).astype("float64")
    outcomes[known:] = np.nan
    return table.assign(**{PREDICTION: chances, TARGET: outcomes})


def test_slices_are_measured_like_all_customers() -> None:
    """The figures of a slice are those of a table with its customers alone."""
    rows = _predicted(4 * MIN_OUTCOMES, 4 * MIN_OUTCOMES)
    found = {each.label: each for each in measure_slices(CONTRACT, rows, rows[:100])}
    insured = rows[rows["insured"] == 1]
    assert found["yes"].quality == measure(insured, CONTRACT.target)
    assert (found["yes"].customers, found["yes"].outcomes) == (MIN_SLICE, MIN_SLICE)
    assert (found["yes"].share, found["yes"].reference_share) == (0.25, 0.25)
    assert found["yes"].mean == insured[PREDICTION].mean()
    assert found["yes"].reference_mean is None
    assert "near" in found
    assert "home" not in found


def test_small_slices_have_no_figures() -> None:
    """With a customer too few they have their number alone; with too few outcomes, an estimate."""
    rows = _predicted(4 * MIN_SLICE - 4, 30)
    found = {each.label: each for each in measure_slices(CONTRACT, rows, rows)}
    assert found["yes"].customers == MIN_SLICE - 1
    assert not found["yes"].is_shown
    assert (found["yes"].quality, found["yes"].estimated, found["yes"].mean) == (None,) * 3
    assert found["no"].is_shown
    assert found["no"].quality is None
    assert found["no"].estimated is not None
