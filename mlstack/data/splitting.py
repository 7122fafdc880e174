"""Split clean rows for training, validation and test."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.target import RegressionTarget, Target
from mlstack.data.row_hashes import row_hashes
from mlstack.data.time_split import TIME, parts_by_time
from mlstack.errors import DataError, DataFault


class SplitRows(NamedTuple):
    """Clean rows by use; each row is in one table."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


def split(rows: pd.DataFrame, contract: Contract) -> SplitRows:
    """Split clean rows by the contract's shares and seed, stratified by the target's classes.

    A row's content determines its part. Adding or removing rows moves few others, so that a later
    model is rarely evaluated on rows that an earlier one was trained on. If the contract names a
    time, the newest rows are for the test, those before them for validation.

    Numbers are not stratified: a row's part would change with the bins, and its hash already makes
    each part a random sample.

    Raises DataError if there are too few rows for all parts, or too few of a class.
    """
    shares = contract.split
    if contract.time is not None:
        times, kept = rows[TIME].to_numpy(), rows.drop(columns=TIME)
        target = kept[contract.target.name].to_numpy()
        parts = parts_by_time(times, target, shares, lambda: row_hashes(kept, shares.seed))
        return SplitRows(*(kept[parts == part] for part in range(3)))
    hashes = row_hashes(rows, shares.seed)
    part_of = np.empty(len(rows), dtype=np.int8)
    for label, stratum in _strata(rows, contract.target):
        members = stratum[_sorted(hashes[stratum])]
        cuts = np.rint(np.cumsum([shares.train, shares.validation]) * len(members)).astype(int)
        for part, chosen in enumerate(np.split(members, cuts)):
            if len(chosen) == 0:
                reason = (
                    f"only {len(members)} rows{label}: too few for training, validation and test"
                )
                raise DataError(DataFault(reason, column=contract.target.raw))
            part_of[chosen] = part
    return SplitRows(*(rows[part_of == part] for part in range(3)))


def _strata(rows: pd.DataFrame, target: Target) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield the positions of rows that are split together, and what they are."""
    if isinstance(target, RegressionTarget):
        yield " have a target", np.arange(len(rows))
        return
    outcomes = rows[target.name].to_numpy()
    for value, texts in target.class_texts.items():
        yield f" are {' or '.join(map(repr, texts))}", np.flatnonzero(outcomes == value)


def _sorted(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the positions of hashes in their order; equal ones, of equal rows, stay in theirs."""
    order = np.argsort(hashes)
    ranked = hashes[order]
    # A stable sort takes four times as long, and equal rows are rare.
    return np.argsort(hashes, kind="stable") if (ranked[1:] == ranked[:-1]).any() else order
