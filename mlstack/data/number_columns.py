"""Read the columns of a table that hold numbers.

How a column writes its numbers is proven by all of its rows together. A table that is read part by
part is therefore examined before: `NumberProof` adds up what its parts prove.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.data.numbers import (
    GROUPED_BY_POINTS,
    Mask,
    Notation,
    number_expression,
    plain_condition,
    read_numbers,
)
from mlstack.data.text_table import TextTable

_CERTAIN_DIGITS = 15
"""All readers of numbers agree up to here; beyond, pandas rounds in its own way."""


@dataclass(slots=True)
class NumberProof:
    """How the columns of a table write their numbers, by column."""

    notations: dict[str, Notation] = field(default_factory=dict)
    decimals: set[str] = field(default_factory=set)
    """Columns with a point that cannot separate thousands."""

    def add(self, other: "NumberProof") -> None:
        """Add what another part of the table proves."""
        for column, notation in other.notations.items():
            self.notations[column] = self.notations.get(column, Notation()) | notation
        self.decimals |= other.decimals

    @property
    def decimal_comma(self) -> bool:
        """Whether a column has decimal commas."""
        return any(notation.decimal_comma for notation in self.notations.values())


class NumberColumns:
    """Reads columns; the rows that the clean-up has left out prove nothing.

    Args:
        table: The table, or a part of it.
        missing: Texts that mean 'missing'.
        proof: What the whole table proves; None if this is the whole table.
    """

    def __init__(
        self, table: TextTable, missing: set[str], proof: NumberProof | None = None
    ) -> None:
        self._table, self._missing = table, missing
        self._given = proof
        self._proof = NumberProof()
        self._plain: list[str] = []

    def read(self, column: str, kept: Mask) -> tuple[NDArray[np.float64], Mask, Mapping[str, Mask]]:
        """Return the numbers of a column, which rows lack one, and the bad rows by reason."""
        cell = self._table.cell(column)
        if column in self._table.numbers:
            lacking = self._table.select(f"{cell} = ''")
            values = self._table.select(number_expression(cell, f"{cell} <> ''"))
            return values, lacking, {}
        notation = self._given.notations.get(column) if self._given else None
        plain = f"length({cell}) <= {_CERTAIN_DIGITS} AND {plain_condition(cell)}"
        values = self._table.select(number_expression(cell, plain))
        lacking = np.zeros(len(values), np.bool_)
        if np.isnan(values).any():
            rest, texts = self._table.find(f"NOT ({plain})", cell)
            lacking[rest] = pd.Series(texts, dtype=object).isin(self._missing)
        open_rows = kept & np.isnan(values) & ~lacking
        commas = notation is not None and notation.decimal_comma
        # pandas reads a column of whole numbers as integers, which have no negative zero.
        if not (commas or open_rows.any() or (np.signbit(values) & (values == 0)).any()):
            self._plain.append(column)
            return values, lacking, {}
        rows = np.flatnonzero(kept & ~lacking)
        codes = np.full(len(values), -1)
        codes[rows], distinct = pd.factorize(self._table.select(cell)[rows])
        gaps = bool((kept & lacking).any())
        numbers = read_numbers([str(text) for text in distinct], gaps=gaps, notation=notation)
        self._proof.notations[column] = numbers.notation
        if not numbers.notation.decimal_comma:
            self._plain.append(column)
        # The last one is for the other rows.
        faults = {
            reason: np.append(mask, [False])[codes] for reason, mask in numbers.faults.items()
        }
        return np.append(numbers.values, np.nan)[codes], lacking, faults

    def prove(self, kept: Mask) -> NumberProof:
        """Return what the columns that were read prove, points included."""
        for column in self._plain:
            if (self._table.select(self._is_decimal(column)) & kept).any():
                self._proof.decimals.add(column)
        return self._proof

    def ambiguous(self, kept: Mask) -> dict[str, Mask]:
        """Return points that may separate thousands, in a file whose decimals have a comma."""
        proof = self._given or self._proof
        if not (proof.decimal_comma or self._table.delimiter == ";"):
            return {}
        proof = self._given or self.prove(kept)
        if proof.decimals and not proof.decimal_comma:
            return {}
        suspects = {
            column: kept & self._table.select(self._is_grouped(column))
            for column in self._plain
            if column not in proof.decimals
        }
        return {column: mask for column, mask in suspects.items() if mask.any()}

    def _is_grouped(self, column: str) -> str:
        return f"regexp_full_match({self._table.cell(column)}, '{GROUPED_BY_POINTS}')"

    def _is_decimal(self, column: str) -> str:
        return f"contains({self._table.cell(column)}, '.') AND NOT {self._is_grouped(column)}"
