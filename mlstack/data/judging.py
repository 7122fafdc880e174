"""Tell which rows of a table fit a contract, and why others do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import Contract, IntegerFeature, NumberFeature
from mlstack.contract.caller_key import LONGEST_KEY
from mlstack.data.canonical import canonical
from mlstack.data.cleaning import Cleaning
from mlstack.data.number_columns import NumberProof
from mlstack.data.numbers import Mask
from mlstack.data.text_table import TextTable
from mlstack.data.used_columns import check_columns, feature_columns
from mlstack.errors import echo

_VOID = "has a value that voids a row (void_row_values)"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which rows of a table fit a contract, whatever their target is.

    Args:
        rows: The features of those that fit, as `clean` returns them.
        keys: The caller's key of each of them, empty if it has none; None if the contract names no
            column.
        misfits: Why each of the others does not fit, by its number in the table.
    """

    rows: pd.DataFrame
    keys: NDArray[Any] | None
    misfits: Mapping[int, str]


def judge(table: TextTable, contract: Contract, proof: NumberProof | None = None) -> Verdict:
    """Clean the rows that fit the contract, and tell why others do not.

    If the table is a part of another, `proof` is what `prove_numbers` says about all parts.

    Raises DataError if a column is absent.
    """
    return _Judging(table, contract, proof=proof).verdict()


def prove_numbers(table: TextTable, contract: Contract) -> NumberProof:
    """Examine how a table, or a part of it, writes its numbers.

    Raises DataError if a column is absent.
    """
    return _Judging(table, contract).number_proof()


class _Judging(Cleaning):
    """A clean-up without the target, which leaves out the rows with faults."""

    def verdict(self) -> Verdict:
        void = self._leave_out_void_rows()
        columns = self._features()
        self._check_points()
        keys = self._keys()
        reasons = {position: [_VOID] for position in np.flatnonzero(void).tolist()}
        for bad, column, reason in self._bad:
            self._kept &= ~bad
            texts = self._table.select(self._table.cell(column))[bad].tolist()
            for position, text in zip(np.flatnonzero(bad).tolist(), texts, strict=True):
                given = f" ({echo(text)})" if text else ""
                reasons.setdefault(position, []).append(f"column {column!r}: {reason}{given}")
        numbers = self._table.index
        return Verdict(
            self._frame(columns),
            keys if keys is None else keys[self._kept],
            {int(numbers[position]): "; ".join(reasons[position]) for position in sorted(reasons)},
        )

    def number_proof(self) -> NumberProof:
        self._leave_out_void_rows()
        for feature in self._contract.features:
            if isinstance(feature, IntegerFeature | NumberFeature):
                self._numbers.read(canonical(feature.raw), self._kept)
        return self._numbers.prove(self._kept)

    def _leave_out_void_rows(self) -> Mask:
        """Leave out rows with a void value in a feature; return which they are."""
        features = feature_columns(self._contract)
        check_columns(self._table, features)
        void = self._void_rows(features)
        self._kept &= ~void
        return void

    def _keys(self) -> NDArray[Any] | None:
        key = self._contract.key
        if key is None or key.raw is None:
            return None
        check_columns(self._table, [key.raw])
        cell = self._table.cell(canonical(key.raw))
        too_long = self._kept & self._table.select(f"length({cell}) > {LONGEST_KEY}")
        self._note(too_long, canonical(key.raw), f"is longer than {LONGEST_KEY} characters")
        return self._table.select(cell)
