"""Count how two samples of a column are distributed, for charts that show them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

BINS: Final = 24
"""Maximum number of bins of a histogram."""

MOST_LABELS: Final = 8
"""With more labels, the rarest ones count together."""

_PROBABILITY_BINS = 20

_TAIL = 0.005
"""Share of a sample at either end that does not stretch the axis."""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Distribution of numbers.

    Args:
        edges: Edges of the bins, one more than there are bins; empty without a number on either
            side. The outer bins also count the numbers beyond them.
        current: Share of the current numbers in each bin, empty if there is no number.
        reference: The same of the reference.
    """

    edges: Sequence[float]
    current: Sequence[float]
    reference: Sequence[float]


@dataclass(frozen=True, slots=True)
class LabelShares:
    """Share of the rows with each label, on both sides."""

    labels: Sequence[str]
    current: Sequence[float]
    reference: Sequence[float]


ColumnDistribution = Histogram | LabelShares


def histogram(
    current: "pd.Series[float]", reference: "pd.Series[float]", *, whole: bool = False
) -> Histogram:
    """Count numbers, NaN if missing; for `whole` numbers, each bin covers equally many of them.

    The bins cover both sides, so that a change of unit shows. All numbers are finite.
    """
    now, before = _sorted(current), _sorted(reference)
    if not len(now) + len(before):
        return Histogram([], [], [])
    ends = np.concatenate([np.quantile(s, [_TAIL, 1 - _TAIL]) for s in (now, before) if len(s)])
    edges = _edges(float(ends.min()), float(ends.max()), whole=whole)
    return Histogram(edges.tolist(), _shares(now, edges), _shares(before, edges))


def probability_histogram(current: "pd.Series[float]", reference: "pd.Series[float]") -> Histogram:
    """Count probabilities in bins from 0 to 1."""
    edges = np.linspace(0, 1, _PROBABILITY_BINS + 1)
    sides = (_shares(_sorted(each), edges) for each in (current, reference))
    return Histogram(edges.tolist(), *sides)


def label_shares(
    current: "pd.Series[str]", reference: "pd.Series[str]", order: Sequence[str]
) -> LabelShares:
    """Count labels; `order` lists all of them. Labels on neither side are left out."""
    now, before = (
        each.value_counts(normalize=True).reindex(list(order), fill_value=0.0)
        for each in (current, reference)
    )
    larger = np.maximum(now.to_numpy(), before.to_numpy())
    shown = [number for number in range(len(order)) if larger[number] > 0]
    rare = list[int]()
    if len(shown) > MOST_LABELS:
        by_share = sorted(shown, key=lambda number: -larger[number])
        rare = by_share[MOST_LABELS - 1 :]
        shown = sorted(by_share[: MOST_LABELS - 1])
    labels = [order[number] for number in shown]
    sides = [[float(side.iloc[number]) for number in shown] for side in (now, before)]
    if rare:
        labels.append(f"{len(rare)} others")
        for shares, side in zip(sides, (now, before), strict=True):
            shares.append(float(side.iloc[rare].sum()))
    return LabelShares(labels, *sides)


def _sorted(numbers: "pd.Series[float]") -> NDArray[np.float64]:
    return np.sort(np.asarray(numbers.dropna(), np.float64))


def _edges(low: float, high: float, *, whole: bool) -> NDArray[np.float64]:
    if low == high:
        room = abs(low) / 2 or 0.5
        return np.array([low - room, high + room])
    if whole:
        lowest, count = floor(low), ceil(high) - floor(low) + 1
        width = ceil(count / BINS)
        return lowest - 0.5 + width * np.arange(ceil(count / width) + 1, dtype=np.float64)
    return np.linspace(low, high, BINS + 1)


def _shares(numbers: NDArray[np.float64], edges: NDArray[np.float64]) -> list[float]:
    """Return the share of sorted numbers in each bin, in the outer ones also those beyond."""
    if not len(numbers):
        return []
    below = np.searchsorted(numbers, edges[1:-1], side="left")
    counts = np.diff(np.concatenate([[0], below, [len(numbers)]]))
    return [float(share) for share in counts / len(numbers)]
