"""Distances depend neither on a column's unit nor on how few rows deviate from a constant."""

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.quality.drift import DriftDetector, compared_column, threshold
from mlstack.quality.results import ColumnDrift
from tests.support.customers import contract_named, customers

ROWS, REFERENCE_ROWS = 1000, 4000


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


def _column(
    contract: Contract, reference: pd.Series | float, current: pd.Series | float
) -> ColumnDrift:
    """Compare one number of otherwise equal customers."""
    sides = [customers(contract, rows) for rows in (REFERENCE_ROWS, ROWS)]
    for side, values in zip(sides, (reference, current), strict=True):
        side["credit_limit"] = values
    result = DriftDetector(contract, sides[0]).compare_features(sides[1])
    return next(each for each in result.features if each.column == "credit_limit")


def _numbers(rows: int, seed: int) -> pd.Series:
    return pd.Series(np.random.default_rng(seed).lognormal(8, 1, rows))


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e-9, 1e-3, 1e9, 1e300])
def test_score_does_not_depend_on_the_unit(contract: Contract, unit: float) -> None:
    """A column in another unit has the same score, and ten times larger values drift."""
    reference, current = _numbers(REFERENCE_ROWS, 1), _numbers(ROWS, 2)
    plain = _column(contract, reference, current)
    assert not plain.drifted
    assert _column(contract, reference * unit, current * unit).score == pytest.approx(plain.score)
    assert _column(contract, reference * unit, current * unit * 10).drifted


@pytest.mark.parametrize("offset", [0, 1e6, -1e6])
def test_score_does_not_depend_on_the_offset(contract: Contract, offset: float) -> None:
    """Nearly equal numbers are compared by how they differ, wherever zero is."""
    reference, current = (_numbers(n, n) / 1e6 + offset for n in (REFERENCE_ROWS, ROWS))
    assert not _column(contract, reference, current).drifted
    moved = _column(contract, reference, (current - offset) * 3 + offset)
    assert (moved.drifted, moved.method) == (True, "wasserstein")


def test_rare_prediction_drifts_when_it_rises(contract: Contract) -> None:
    """Probabilities around 1 in 100,000 drift when they become ten times larger."""
    reference, current = customers(contract, REFERENCE_ROWS), customers(contract, ROWS)
    reference[PREDICTION] /= 1e4
    detector = DriftDetector(contract, reference)
    assert not detector.compare_prediction(current[PREDICTION] / 1e4).drifted
    assert detector.compare_prediction(current[PREDICTION] / 1e3).drifted


@pytest.mark.parametrize("constant", [0.0, 5e-9, -3.0, 9e15, 3e38, 1e300])
def test_constant_drifts_when_it_is_left(contract: Contract, constant: float) -> None:
    """It drifts once enough rows have another value, however small the difference."""
    current = pd.Series(constant, index=range(ROWS))
    same = _column(contract, constant, current)
    assert (same.drifted, same.score) == (False, 0)
    assert not _column(contract, constant, current.where(current.index >= 5, constant + 1)).drifted
    other = constant * (1 + 1e-6) or 1e-6
    assert _column(contract, constant, current.where(current.index >= 100, other)).drifted
    assert _column(contract, constant, constant * 10 or 1.0).drifted


def test_constant_allows_for_rounding(contract: Contract) -> None:
    """The same number computed in two ways is one constant."""
    found = _column(contract, 0.1 + 0.2, 0.3)
    assert (found.drifted, found.score, found.method) == (False, 0, "jensenshannon")


def test_nearly_constant_column_gives_no_false_alarm(contract: Contract) -> None:
    """One rare value is no drift in a small window, although it is many deviations away."""
    reference = pd.Series(0.0, index=range(REFERENCE_ROWS))
    reference[7] = 1e6
    current = pd.Series(0.0, index=range(100))
    current[3] = 1e6
    column = compared_column("wasserstein", current, reference)
    assert column.distance() < column.threshold
    assert _column(contract, reference, 1.0).drifted


def test_infinity_counts_as_missing(contract: Contract) -> None:
    """Infinite values change the missing share, not the distance of the others."""
    reference, current = _numbers(REFERENCE_ROWS, 1), _numbers(ROWS, 2)
    current[:3] = [np.inf, -np.inf, np.nan]
    found = _column(contract, reference, current)
    assert (found.drifted, found.missing_share) == (False, 0.003)
    current[:] = np.inf
    assert _column(contract, reference, current).drifted


def test_huge_value_among_ordinary_ones_is_measured(contract: Contract) -> None:
    """One value of 1e300 has a finite score."""
    current = _numbers(ROWS, 2)
    current[0] = 1e300
    found = _column(contract, _numbers(REFERENCE_ROWS, 1), current)
    assert found.drifted
    assert np.isfinite(found.score)


def test_threshold_counts_only_present_values() -> None:
    """Five present values among a thousand missing ones do not drift by chance."""
    reference = _numbers(REFERENCE_ROWS, 1)
    current = _numbers(ROWS, 2).where(lambda values: values.index < 5)
    column = compared_column("wasserstein", current, reference)
    assert column.threshold == threshold("wasserstein", 5, REFERENCE_ROWS)
    assert column.distance() < column.threshold


def test_equal_windows_of_any_size_have_not_drifted(contract: Contract) -> None:
    """Shares that differ by rounding alone have a distance of 0, not NaN."""
    for rows in (30, 31, 100):
        same = customers(contract, rows)
        result = DriftDetector(contract, same).compare_features(same)
        assert [feature.score for feature in result.features] == [0] * len(contract.features)


@pytest.mark.parametrize("categories", [2, 7, 60, 200, 20_000])
@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_category_of_many_values_gives_no_false_alarm(rows: int, categories: int) -> None:
    """Samples of the same customers have not drifted, other customers have."""
    random = np.random.default_rng(categories)
    weights = random.dirichlet(np.ones(categories))
    labels = np.array([f"c{number}" for number in range(categories)])

    def drawn(count: int) -> pd.Series:
        return pd.Series(random.choice(labels, count, p=weights))

    for _ in range(5):
        column = compared_column("jensenshannon", drawn(rows), drawn(REFERENCE_ROWS))
        assert column.distance() < column.threshold
    column = compared_column("jensenshannon", drawn(rows) + "?", drawn(REFERENCE_ROWS))
    assert column.distance() >= column.threshold
