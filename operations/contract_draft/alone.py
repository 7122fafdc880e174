"""Find columns that predict the target alone: mostly they are known only when the target is."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.data.numbers import read_numbers
from mlstack.data.text_table import TextTable
from operations.contract_draft.columns import NOTHING, Column
from operations.contract_draft.drafted import Drafted
from operations.contract_draft.target import DraftedTarget

_MOST_ROWS = 20_000
_FEWEST_ROWS = 50
_BINS = 200
_EXPLAINED = 0.98
"""Share of the error of guessing that a column must take away."""

Codes = NDArray[np.int64]


class Detector:
    """Measures on one half of the rows what it has learnt on the other."""

    def __init__(self, table: TextTable, target: DraftedTarget) -> None:
        self._table = table
        step = max(1, len(table) // _MOST_ROWS)
        self._sample = f"WHERE rowid % {step} = 0 ORDER BY rowid"
        texts = self._texts(target.column)
        known = ~texts.isin((*NOTHING, *target.missing_values)).to_numpy()
        self._rows = np.flatnonzero(known)
        self._numbers: NDArray[np.float64] | None = None
        if target.kind == "regression":
            self._numbers = _numbers(texts)[self._rows]
        self._classes = pd.factorize(texts)[0][self._rows]

    def predicts(self, drafted: Drafted) -> bool:
        """Whether a column predicts the target nearly without errors."""
        if len(self._rows) < _FEWEST_ROWS:
            return False
        texts = self._texts(drafted.column)
        bins = _bins(texts, is_number=drafted.column.range is not None)[self._rows] + 1
        learnt = np.arange(len(bins)) % 2 == 0
        tested = bins[~learnt]
        if self._numbers is not None:
            values, real = self._numbers[learnt], self._numbers[~learnt]
            means = _means(bins[learnt], values, bins.max() + 1)[tested]
            left, base = ((real - means) ** 2).sum(), ((real - values.mean()) ** 2).sum()
        else:
            classes, actual = self._classes[learnt], self._classes[~learnt]
            modes = _modes(bins[learnt], classes, bins.max() + 1)[tested]
            left, base = (actual != modes).sum(), (actual != np.bincount(classes).argmax()).sum()
        return bool(base > 0 and left <= (1 - _EXPLAINED) * base)

    def _texts(self, column: Column) -> "pd.Series[str]":
        found = self._table.query(f"SELECT {column.cell} FROM cells {self._sample}")
        return pd.Series([text for (text,) in found], dtype=object)


def _means(bins: Codes, values: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Return the mean of each bin, and the mean of all for an empty one."""
    rows = np.bincount(bins, minlength=count)
    sums = np.bincount(bins, values, minlength=count)
    means: NDArray[np.float64] = np.where(rows > 0, sums / np.maximum(rows, 1), values.mean())
    return means


def _modes(bins: Codes, classes: Codes, count: int) -> Codes:
    """Return the most frequent class of each bin, and of all for an empty one."""
    width = int(classes.max()) + 1
    rows = np.bincount(bins * width + classes, minlength=count * width).reshape(count, width)
    most: Codes = np.where(rows.any(axis=1), rows.argmax(axis=1), rows.sum(axis=0).argmax())
    return most


def _numbers(texts: "pd.Series[str]") -> NDArray[np.float64]:
    codes, distinct = pd.factorize(texts)
    return read_numbers([str(text) for text in distinct]).values[codes]


def _bins(texts: "pd.Series[str]", *, is_number: bool) -> Codes:
    """Number the rows by their values, or by ranges of values if there are many."""
    if not is_number:
        return pd.factorize(texts)[0]
    numbers = _numbers(texts)
    given = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(given, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, numbers, side="left").astype(np.int64)
    bins[np.isnan(numbers)] = -1
    return bins
