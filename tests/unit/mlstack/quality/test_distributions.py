"""Distributions of two samples share their bins and lose no row."""

import numpy as np
import pandas as pd
import pytest

from mlstack.quality.distributions import (
    BINS,
    MOST_LABELS,
    Histogram,
    histogram,
    label_shares,
    probability_histogram,
)

NORMAL = pd.Series(np.random.default_rng(1).normal(50, 10, 1000))


def _sums(found: Histogram) -> list[float]:
    return [sum(found.current), sum(found.reference)]


@pytest.mark.parametrize("factor", [1, 1000, 1e300, 1e-300])
def test_bins_cover_both_sides_and_every_row(factor: float) -> None:
    """A change of unit shows, and numbers beyond the bins count in the outer ones."""
    found = histogram(NORMAL * factor, NORMAL)
    assert len(found.edges) == BINS + 1
    assert found.edges[0] < found.edges[-1]
    assert _sums(found) == pytest.approx([1, 1])


def test_outlier_does_not_stretch_the_bins() -> None:
    found = histogram(pd.concat([NORMAL, pd.Series([1e12])]), NORMAL)
    assert found.edges[-1] < 100
    assert _sums(found) == pytest.approx([1, 1])


@pytest.mark.parametrize("highest", [1, 3, 23, 24, 1000])
def test_whole_numbers_have_bins_of_equal_counts(highest: int) -> None:
    """Otherwise some bins would hold one number more, and look like peaks."""
    numbers = pd.Series(np.arange(highest + 1, dtype=float))
    found = histogram(numbers, numbers, whole=True)
    widths = set(np.diff(found.edges))
    assert len(found.current) <= BINS
    assert len(widths) == 1
    assert found.edges[0] % 1 == 0.5
    assert _sums(found) == pytest.approx([1, 1])


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-5, 2.0**53])
def test_constant_has_one_bin(value: float) -> None:
    found = histogram(pd.Series([value] * 5), pd.Series([value] * 7), whole=value % 1 == 0)
    assert found.edges[0] < value < found.edges[1]
    assert found.current == found.reference == [1.0]


def test_missing_numbers_are_left_out() -> None:
    """A side without any number has no shares; without both there are no bins."""
    nothing = pd.Series([np.nan, np.nan])
    assert histogram(nothing, NORMAL).current == []
    assert sum(histogram(nothing, NORMAL).reference) == pytest.approx(1)
    assert histogram(nothing, nothing) == Histogram([], [], [])


def test_probabilities_have_bins_from_zero_to_one() -> None:
    found = probability_histogram(pd.Series([0.0, 1.0]), pd.Series([0.5, 0.999]))
    assert (found.edges[0], found.edges[-1]) == (0, 1)
    assert (found.current[0], found.current[-1], found.reference[-1]) == (0.5, 0.5, 0.5)


def test_labels_keep_their_order_and_absent_ones_are_left_out() -> None:
    found = label_shares(pd.Series(["b", "c"]), pd.Series(["b", "b"]), ["a", "c", "b"])
    assert list(found.labels) == ["c", "b"]
    assert (found.current, found.reference) == ([0.5, 0.5], [0.0, 1.0])


def test_rare_labels_count_together() -> None:
    names = [f"label {number}" for number in range(20)]
    rows = pd.Series([name for number, name in enumerate(names) for _ in range(number + 1)])
    found = label_shares(rows, rows, names)
    assert found.labels == [*names[-MOST_LABELS + 1 :], "13 others"]
    assert sum(found.current) == pytest.approx(1)
