"""Split clean rows for training, validation and test."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.target import RegressionTarget, Target
from mlstack.data.time_split import TIME, parts_by_time
from mlstack.errors import DataError, DataFault

_COMBINATIONS = 4096


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
        parts = parts_by_time(times, target, shares, lambda: _hashes(kept, shares.seed))
        return SplitRows(*(kept[parts == part] for part in range(3)))
    order = _hashes(rows, shares.seed)
    part_of = np.empty(len(rows), dtype=np.int8)
    for label, stratum in _strata(rows, contract.target):
        members = stratum[np.argsort(order[stratum], kind="stable")]
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


def _hashes(rows: pd.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Derive a number for each row from its content, as `repr` writes the tuple of its values.

    Numbers must never change: a champion would be judged on rows that it has learnt from.
    """
    keyed = hashlib.blake2b(digest_size=8, key=seed.to_bytes(8, "big"))
    digests = []
    for written in map(b"".join, zip(*_written(rows), strict=True)):
        digest = keyed.copy()
        digest.update(written)
        digests.append(digest.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


def _written(rows: pd.DataFrame) -> list[list[bytes]]:
    """Write the rows as `repr` does, in pieces of one or more columns.

    Each distinct value is written once, and so is each combination of columns with few values.
    """
    last = rows.shape[1] - 1
    pieces: list[_Distinct] = []
    for number, name in enumerate(rows.columns):
        column = _distinct(rows[name])
        before, after = "(" if number == 0 else "", ")" if number == last else ", "
        column = _Distinct(column.codes, [f"{before}{text}{after}" for text in column.texts])
        if pieces and len(pieces[-1].texts) * len(column.texts) <= _COMBINATIONS:
            column = pieces.pop().beside(column)
        pieces.append(column)
    return [
        np.array([text.encode() for text in piece.texts], dtype=object)[piece.codes].tolist()
        for piece in pieces
    ]


class _Distinct(NamedTuple):
    """Texts, each of them once, and which one each row has."""

    codes: NDArray[np.int64]
    texts: list[str]

    def beside(self, other: "_Distinct") -> "_Distinct":
        """Combine each text with each of another column."""
        return _Distinct(
            self.codes * len(other.texts) + other.codes,
            [left + right for left in self.texts for right in other.texts],
        )


def _distinct(column: pd.Series) -> _Distinct:
    values = column.to_numpy()
    if values.dtype == np.int64 and len(values):
        low, high = int(values.min()), int(values.max())
        if high - low < _COMBINATIONS:
            return _Distinct(values - low, [repr(value) for value in range(low, high + 1)])
    # As numbers, the two zeros are equal; as texts they are not.
    bits = values.view(np.int64) if values.dtype == np.float64 else values
    codes, distinct = pd.factorize(bits)
    if values.dtype == np.float64:
        distinct = distinct.view(np.float64)
    texts = [repr(value) for value in distinct.tolist()]
    if (missing := codes < 0).any():
        codes[missing] = len(texts)
        texts.append(repr(None))
    return _Distinct(codes, texts)
