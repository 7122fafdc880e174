"""The margin of error of a sample holds, also where predictions of one moment are alike."""

import numpy as np
import pandas as pd
import pytest

from mlstack.prediction_log.sampling import share_error

PARTS, DRAWN, ROWS = 400, 100, 20


@pytest.mark.parametrize("alike", [False, True])
def test_true_share_is_within_the_margin(alike: bool) -> None:  # noqa: FBT001 - a parameter of tests
    """In 95 of 100 samples: the margin is that of the least exact share."""
    chance = np.random.default_rng(1)
    kinds = chance.random((PARTS, 1) if alike else (PARTS, ROWS)) < 0.3
    people = np.broadcast_to(kinds, (PARTS, ROWS))
    within, errors = 0, []
    for _ in range(300):
        drawn = chance.choice(PARTS, DRAWN, replace=False)
        rows = pd.DataFrame({"kind": np.where(people[drawn].ravel(), "a", "b")}, dtype=object)
        errors.append(share_error(rows, np.repeat(drawn, ROWS), DRAWN / PARTS))
        within += abs(people[drawn].mean() - people.mean()) <= errors[-1]
    assert 270 <= within <= 297
    # Alike, a batch of twenty says no more than one of them.
    assert 0.06 < np.mean(errors) < 0.09 if alike else 0.01 < np.mean(errors) < 0.02


def test_margin_is_that_of_the_least_exact_column() -> None:
    """Numbers by their quarters, texts, and missing values."""
    parts = np.repeat(np.arange(50), 10)
    columns = {
        "number": np.tile(np.arange(10.0), 50),
        "text": pd.Series(np.tile(["a", "b"], 250), dtype=object),
        "missing": np.where(parts < 25, np.nan, 1.0),
        "empty": np.full(500, np.nan),
    }
    errors = {
        name: share_error(pd.DataFrame({name: values}), parts, 0.1)
        for name, values in columns.items()
    }
    # The parts are equal in all but one column.
    assert errors["empty"] == 0
    assert max(errors["number"], errors["text"]) < 1e-12
    assert errors["missing"] == pytest.approx(1.96 * np.sqrt(0.9 * 50 / 49 * 0.25 / 50))
    assert share_error(pd.DataFrame(columns), parts, 0.1) == errors["missing"]


def test_sample_of_one_part_says_nothing() -> None:
    rows = pd.DataFrame({"number": [1.0, 2.0]})
    assert share_error(rows, np.zeros(2, np.int64), 0.1) == 1
