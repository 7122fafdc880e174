"""Split rows by their time: train on the past, test on the newest."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mlstack.contract.contract import SplitShares
from mlstack.errors import DataError, DataFault

TIME = "_time"
"""Column of clean rows with their time as a number, until they are split; no feature's name."""

_PARTS = ("training", "validation", "test")

Parts = NDArray[np.int8]


def parts_by_time(
    times: NDArray[np.float64],
    target: NDArray[np.generic],
    shares: SplitShares,
    order: Callable[[], NDArray[np.uint64]],
) -> Parts:
    """Return the part of each row: 0 for the oldest rows, to train on, up to 2 for the newest.

    Rows of the same time stay together, so that parts may be larger or smaller than their shares.
    A time is divided only if a part would otherwise lack a class, or be empty; then `order`, a
    number for each row, decides.

    Raises DataError if even then a part lacks a class.
    """
    classes = np.unique(target) if target.dtype.kind != "f" else target[:0]
    lacking = ""
    for parts in _candidates(times, shares, order):
        lacking = _lacking(parts, target, classes)
        if not lacking:
            return parts
    raise DataError(DataFault(f"split by time, {lacking}: change the shares of the split"))


def _candidates(
    times: NDArray[np.float64], shares: SplitShares, order: Callable[[], NDArray[np.uint64]]
) -> Iterator[Parts]:
    wanted = np.rint(np.cumsum([shares.train, shares.validation]) * len(times)).astype(np.int64)
    _, group, counts = np.unique(times, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    between = ends[:-1]
    if len(between) > 1:
        first = _nearest(between[:-1], wanted[0])
        second = _nearest(between[between > first], wanted[1])
        # The part of a time's last row is that of all its rows.
        yield np.searchsorted([first, second], ends[group], side="left").astype(np.int8)
    positions = np.empty(len(times), np.int64)
    positions[np.lexsort((order(), times))] = np.arange(1, len(times) + 1)
    yield np.searchsorted(wanted, positions, side="left").astype(np.int8)


def _nearest(places: NDArray[np.int64], wanted: np.int64) -> np.int64:
    nearest: np.int64 = places[np.abs(places - wanted).argmin()]
    return nearest


def _lacking(parts: Parts, target: NDArray[np.generic], classes: NDArray[np.generic]) -> str:
    for number, name in enumerate(_PARTS):
        there = target[parts == number]
        if not len(there):
            return f"no row is left for {name}"
        for value in classes:
            if not (there == value).any():
                return f"no {name} row has the target {value}"
    return ""
