"""Describe the columns of a raw table, as far as a contract depends on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from mlstack.data import cleaning
from mlstack.data.numbers import read_numbers
from mlstack.data.sql import literal
from mlstack.data.text_table import TextTable

NOTHING = (*(text for text in cleaning.NOTHING if text != "None"), "?")
"""How exports write that there is no value; "None" may be a category."""

_NOTHING = ", ".join(map(literal, NOTHING))
_AMONG_NUMBERS = (*NOTHING, "None", "none", "Unknown", "unknown", "-", "--", ".", "*")
_MOST_TEXTS = 10_000
"""Columns with more distinct texts are known by a sample of their rows, and by their extremes."""
_ODD_SHARE, _ODD_TEXTS = 0.05, 3
"""Texts among numbers may be this frequent and this many to mean 'missing'."""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers of a column; `spread` is their standard deviation."""

    low: float
    high: float
    median: float
    spread: float
    whole: bool
    distinct: int


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Args:
        name: Its name in the header.
        cell: Its name in the database.
        rows: Number of rows.
        missing: Number of rows without a value.
        distinct: Number of different values, roughly if there are many.
        texts: How many rows have each value, the most frequent first; of a sample if `sampled`.
    """

    name: str
    cell: str
    rows: int
    missing: int
    distinct: int
    texts: Mapping[str, int]
    sampled: bool
    table: TextTable = field(repr=False, compare=False)

    @property
    def given(self) -> int:
        """Number of rows with a value."""
        return self.rows - self.missing

    @property
    def most_frequent(self) -> str:
        """The most frequent value."""
        return next(iter(self.texts))

    def aggregate(self, expressions: str) -> list[tuple[Any, ...]]:
        """Evaluate aggregates of SQL over the rows with a value."""
        return self.table.query(
            f"SELECT {expressions} FROM cells WHERE {self.cell} NOT IN ({_NOTHING})"
        )

    @cached_property
    def odd_texts(self) -> tuple[str, ...]:
        """Texts among numbers that may mean 'missing'; empty if the column is not of numbers."""
        return self._numbers[1]

    @cached_property
    def range(self) -> Range | None:
        """The numbers, if all values but a few odd texts are numbers."""
        return self._numbers[0]

    @cached_property
    def _numbers(self) -> tuple[Range | None, tuple[str, ...]]:
        texts = [text for text in self.texts if looks_like_number(text)]
        odd = [text for text in self.texts if not looks_like_number(text)]
        share = sum(self.texts[text] for text in odd) / max(1, sum(self.texts.values()))
        are_rare = share <= _ODD_SHARE and len(odd) <= _ODD_TEXTS
        if not texts or not (are_rare or all(text in _AMONG_NUMBERS for text in odd)):
            return None, ()
        numbers = read_numbers(texts, gaps=self.missing > 0)
        if numbers.faults:
            return None, ()
        value = _value_sql(self.cell, decimal_comma=numbers.decimal_comma)
        nothing = ", ".join(map(literal, (*NOTHING, *odd)))
        [(unread, low, high, whole)] = self.table.query(
            f"SELECT count(*) FILTER (value IS NULL), min(value), max(value), "
            "bool_and(value = floor(value)) "
            f"FROM (SELECT {value} AS value FROM cells WHERE {self.cell} NOT IN ({nothing}))"
        )
        if unread:
            return None, ()
        counts = np.array([self.texts[text] for text in texts])
        median = np.quantile(numbers.values, 0.5, weights=counts, method="inverted_cdf")
        mean = np.average(numbers.values, weights=counts)
        spread = float(np.sqrt(np.average((numbers.values - mean) ** 2, weights=counts)))
        distinct = self.distinct - len(odd)
        return Range(low, high, float(median), spread, whole, distinct), tuple(odd)


def describe_columns(table: TextTable) -> list[Column]:
    """Describe every column of a table that a contract can use."""
    return [_column(table, name) for name in table.columns if name not in table.unusable]


def _column(table: TextTable, name: str) -> Column:
    rows, cell = len(table), table.cell(name)
    [(missing, distinct)] = table.query(
        f"SELECT count(*) FILTER ({cell} IN ({_NOTHING})), approx_count_distinct({cell}) FROM cells"
    )
    sampled = distinct > _MOST_TEXTS
    step = max(1, rows // _MOST_TEXTS) if sampled else 1
    counted = table.query(
        f"SELECT {cell} AS text, count(*) AS rows FROM cells "
        f"WHERE rowid % {step} = 0 AND {cell} NOT IN ({_NOTHING}) "
        "GROUP BY text ORDER BY rows DESC, text"
    )
    texts = dict(counted)
    exact = distinct if sampled else len(texts)
    return Column(name, cell, rows, missing, exact, texts, sampled, table)


def looks_like_number(text: str) -> bool:
    """Whether a text has digits, and only characters that numbers may have."""
    return any(map(str.isdigit, text)) and set(text) <= set("0123456789+-.,eE' \u2019\u2212")


def _value_sql(cell: str, *, decimal_comma: bool) -> str:
    """Read a column's texts as numbers, in SQL."""
    separators = "''. \u2019" if decimal_comma else "'', \u2019"
    text = f"replace(translate({cell}, '{separators}', ''), '\u2212', '-')"
    if decimal_comma:
        return f"try_cast(replace({text}, ',', '.') AS DOUBLE)"
    return f"coalesce(try_cast({cell} AS DOUBLE), try_cast({text} AS DOUBLE))"
