"""Derive the roles and formats of the real table's columns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import ChoiceFeature, Contract
from mlstack.data.dataset import clean
from mlstack.errors import DataError, DataFault

Numbers = NDArray[np.float64]
Role = Literal["target", "identifier", "category", "number"]

_SEPARATOR = "\x1f"
_FEW_VALUES = 20
_PROBE = 50
"""Most rules already fail on this many rows."""


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How a column formats its numbers; both limits hold for every value."""

    decimals: int
    """Decimal places."""
    digits: int
    """Significant digits."""
    missing: str
    """Text of a missing value."""

    def text(self, value: float) -> str:
        """Format a number, rounded to the column's precision."""
        if np.isnan(value):
            return self.missing
        # Adding zero turns -0 into 0.
        return f"{round(value, self.decimals) + 0.0:.{self.digits}g}"

    def round(self, values: Numbers) -> Numbers:
        """Round to the column's precision; formatting a rounded value is lossless."""
        return np.array(
            [np.nan if np.isnan(value) else float(self.text(value)) for value in values],
            dtype=np.float64,
        )


@dataclass(frozen=True, slots=True)
class Column:
    """One raw column."""

    name: str
    role: Role
    number: NumberFormat | None = None
    """Only for a column of numbers."""


@dataclass(frozen=True, slots=True)
class Relation:
    """Computes a column from two earlier ones, exactly except for rounding."""

    operation: str
    left: str
    right: str

    def apply(self, rows: pd.DataFrame) -> Numbers:
        """Compute the column's values, without rounding."""
        left, right = (rows[name].to_numpy(np.float64) for name in (self.left, self.right))
        with np.errstate(divide="ignore", invalid="ignore"):
            return _OPERATIONS[self.operation](left, right)


_OPERATIONS: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
}


class RealTable:
    """The real table and its columns' roles; contracts may use different columns.

    Raises:
        DataError: the table does not fit a contract, or has a text column that no contract
            mentions. Such text may identify people, so it must not be sampled.
    """

    def __init__(self, raw: pd.DataFrame, contracts: Sequence[Contract]) -> None:
        for contract in contracts:
            clean(raw, contract)
        self.contracts = tuple(contracts)
        self.columns = tuple(_describe(raw, contracts))
        self.rows = self.parse(raw)
        """Numbers as float64 (NaN if missing), everything else as text."""
        self.relations = _relations(self.rows, self.columns)
        """Relations of the computed columns, by column name."""

    def of_role(self, *roles: Role) -> tuple[Column, ...]:
        """Return the columns with these roles, in the table's order."""
        return tuple(column for column in self.columns if column.role in roles)

    @property
    def target(self) -> str:
        """Name of the target column."""
        return self.of_role("target")[0].name

    def parse(self, raw: pd.DataFrame) -> pd.DataFrame:
        """Convert text values of this table's columns to the types of `rows`."""
        return pd.DataFrame(
            {
                column.name: raw[column.name].astype(object)
                if column.number is None
                else pd.to_numeric(raw[column.name], errors="coerce").astype("float64")
                for column in self.columns
            }
        )

    def texts(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Format rows as in the raw table; `rows` may lack columns."""
        return pd.DataFrame(
            {
                column.name: rows[column.name]
                if column.number is None
                else [column.number.text(value) for value in rows[column.name]]
                for column in self.columns
                if column.name in rows
            },
            index=rows.index,
        )

    @cached_property
    def compared_columns(self) -> dict[str, list[str]]:
        """Sets of columns, by description, in which no drawn row may equal a real one."""
        sets = {
            "all columns but the id": [
                column.name for column in self.columns if column.role != "identifier"
            ]
        }
        for contract in self.contracts:
            sets[f"the features of {contract.name}"] = [f.raw for f in contract.features]
        return sets

    def keys(self, rows: pd.DataFrame, names: Sequence[str]) -> "pd.Series[str]":
        """Build one key per row; rows with equal values in these columns share a key."""
        texts = self.texts(rows[list(names)])[list(names)]
        return pd.Series(
            [_SEPARATOR.join(row) for row in texts.itertuples(index=False)], index=rows.index
        )


def _describe(raw: pd.DataFrame, contracts: Sequence[Contract]) -> Iterator[Column]:
    targets = {contract.target.raw for contract in contracts}
    if len(targets) > 1:
        raise DataError(DataFault(f"the contracts have different targets: {sorted(targets)}"))
    features = {feature.raw: feature for contract in contracts for feature in contract.features}
    for name in map(str, raw.columns):
        texts = raw[name]
        feature = features.get(name)
        if name in targets:
            yield Column(name, "target")
        elif isinstance(feature, ChoiceFeature):
            yield Column(name, "category")
        elif feature is not None:
            yield Column(name, "number", _number_format(texts))
        elif pd.to_numeric(texts, errors="coerce").notna().all():
            number = _number_format(texts)
            identifier = texts.is_unique and number.decimals == 0
            yield Column(name, "identifier" if identifier else "number", number)
        else:
            raise DataError(
                DataFault(
                    "has texts that no contract mentions; remove the column first", column=name
                )
            )


def _number_format(texts: "pd.Series[str]") -> NumberFormat:
    given = pd.to_numeric(texts, errors="coerce").notna()
    numbers = [Decimal(text).as_tuple() for text in texts[given].unique()]
    missing = texts[~given].mode()
    return NumberFormat(
        decimals=max((max(0, -int(number.exponent)) for number in numbers), default=0),
        digits=max((len(number.digits) for number in numbers), default=1),
        missing=str(missing.iloc[0]) if len(missing) else "",
    )


def _relations(rows: pd.DataFrame, columns: Sequence[Column]) -> dict[str, Relation]:
    found: dict[str, Relation] = {}
    earlier: list[str] = []
    for column in columns:
        if column.role != "number" or column.number is None or rows[column.name].isna().any():
            continue
        for left, right in combinations(earlier, 2):
            relation = _relation(rows, column.name, column.number, left, right)
            if relation is not None:
                found[column.name] = relation
                break
        earlier.append(column.name)
    return found


def _relation(
    rows: pd.DataFrame, name: str, number: NumberFormat, left: str, right: str
) -> Relation | None:
    values = rows[name].to_numpy(np.float64)
    tolerance = 0.5 * 10.0**-number.decimals * (1 + 1e-6)
    # Many rules fit a nearly constant column by accident.
    if len(np.unique(values)) <= _FEW_VALUES:
        return None
    for operation in _OPERATIONS:
        for a, b in ((left, right), (right, left)):
            relation = Relation(operation, a, b)
            first: Any = np.abs(relation.apply(rows.iloc[:_PROBE]) - values[:_PROBE])
            if not (first <= tolerance).all():
                continue
            if (np.abs(relation.apply(rows) - values) <= tolerance).all():
                return relation
    return None
