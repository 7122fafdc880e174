"""Clean and validate the features of a raw table by its contract."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import (
    CategoryFeature,
    ChoiceFeature,
    Contract,
    DateFeature,
    Feature,
    IntegerFeature,
    NumberFeature,
)
from mlstack.contract.days import day_number, day_text
from mlstack.contract.target import RegressionTarget
from mlstack.data.canonical import canonical
from mlstack.data.dates import EPOCH, NO_DAY, day_expression
from mlstack.data.number_columns import NumberColumns, NumberProof
from mlstack.data.numbers import GUESS, Mask
from mlstack.data.sql import literal
from mlstack.data.text_table import TextTable
from mlstack.errors import DataError, DataFault, listing

_Value = TypeVar("_Value")
_Numeric = IntegerFeature | NumberFeature | RegressionTarget

NOTHING = ("", "NA", "N/A", "#N/A", "<NA>", "n/a", "NaN", "nan", "NULL", "null", "None")
"""How exports write that there is no value."""


class Cleaning:
    """A clean-up of the features; collects the faults."""

    def __init__(
        self,
        table: TextTable,
        contract: Contract,
        say: Callable[[str], None] = lambda _: None,
        proof: NumberProof | None = None,
    ) -> None:
        self._table = table
        self._say = say
        self._contract = contract
        self._bad: list[tuple[Mask, str, str]] = []
        """The faults: which rows are bad, column and reason."""
        self._missing = {"", *map(canonical, contract.clean_up.missing_values)}
        self._kept: Mask = np.ones(len(table), np.bool_)
        self._numbers = NumberColumns(table, self._missing, proof)

    def _features(self) -> dict[str, NDArray[Any]]:
        return {feature.name: self._feature(feature) for feature in self._contract.features}

    def _frame(self, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
        index = self._table.index if self._kept.all() else self._table.index[self._kept]
        return pd.DataFrame(
            {
                # By default, pandas would convert texts to a type of its own.
                name: pd.Series(self._of_kept(values), index, dtype=values.dtype, copy=False)
                for name, values in columns.items()
            },
            copy=False,
        )

    def _of_kept(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._kept.all() else values[self._kept]

    def _void_rows(self, columns: Sequence[str]) -> Mask:
        void = {canonical(value) for value in self._contract.clean_up.void_row_values}
        if not void:
            return np.zeros(len(self._table), np.bool_)
        cells = (self._table.cell(canonical(raw)) for raw in columns)
        among = ", ".join(map(literal, sorted(void)))
        found: Mask = self._table.select(" OR ".join(f"{cell} IN ({among})" for cell in cells))
        return found

    def _feature(self, feature: Feature) -> NDArray[Any]:
        if isinstance(feature, ChoiceFeature):
            return self._category(feature)
        if isinstance(feature, DateFeature):
            return self._date(feature)
        return self._number(feature)

    def _category(self, feature: ChoiceFeature) -> NDArray[Any]:
        raw = canonical(feature.raw)
        values = self._distinct_texts(feature.raw, dict[str, int | str](feature.raw_values))
        missing = self._missing - values.keys()
        other = feature.other if isinstance(feature, CategoryFeature) else None
        # A text that exports write for 'no value' is not taken for a rare value.
        nothing = {*NOTHING} - missing - values.keys() if other else set()
        codes = self._codes(raw, [*values, *missing, *nothing])
        known = len(values) + len(missing)
        unknown = codes >= known if other else codes < 0
        self._check_missing(feature, (codes >= len(values)) & (codes < known))
        allowed = listing([repr(value) for value in feature.raw_values])
        self._note(self._kept & unknown, raw, f"is an unknown category; known are {allowed}")
        if other and (count := int((self._kept & (codes < 0)).sum())):
            self._say(f"{count:,} rows have an unlisted value of {feature.raw!r}: {other!r}")
        absent = [None] * (len(missing) + len(nothing))
        if isinstance(feature, CategoryFeature):
            # The last one is for texts that are not listed.
            return np.array([*values.values(), *absent, other], dtype=object)[codes]
        return self._whole(np.array([*values.values(), *absent, None], np.float64)[codes])

    def _distinct_texts(self, raw: str, texts: Mapping[str, _Value]) -> dict[str, _Value]:
        values: dict[str, _Value] = {}
        for text, value in texts.items():
            if values.setdefault(canonical(text), value) != value:
                raise DataError(
                    DataFault(
                        f"the contract gives {text!r} and a raw value that looks alike different "
                        "meanings",
                        column=raw,
                    )
                )
        return values

    def _date(self, feature: DateFeature) -> NDArray[Any]:
        raw = canonical(feature.raw)
        lacking = self._codes(raw, list(self._missing)) >= 0
        self._check_missing(feature, lacking)
        days = self._table.select(day_expression(self._table.cell(raw), feature.format))
        given = self._kept & ~lacking
        unread = given & (days == NO_DAY)
        first, last = (day_number(day) - EPOCH for day in feature.range)
        outside = given & ~unread & ~((days >= first) & (days <= last))
        self._note(unread, raw, f"is not a date ({feature.format or 'YYYY-MM-DD'})")
        self._note(outside, raw, f"is out of range: {feature.range[0]} to {feature.range[1]}")
        codes, distinct = pd.factorize(np.where(given & ~unread & ~outside, days, NO_DAY))
        texts = [None if day == NO_DAY else day_text(day + EPOCH) for day in distinct.tolist()]
        return np.array(texts, dtype=object)[codes]

    def _number(self, feature: IntegerFeature | NumberFeature) -> NDArray[Any]:
        raw = canonical(feature.raw)
        values, lacking, faults = self._numbers.read(raw, self._kept)
        self._check_missing(feature, lacking)
        given = self._check_numbers(feature, values, self._kept & ~lacking, faults)
        if isinstance(feature, IntegerFeature):
            self._note(given & ~_is_whole(values), raw, "is not a whole number")
            return self._whole(values)
        return values

    def _check_numbers(
        self,
        column: _Numeric,
        values: NDArray[np.float64],
        given: Mask,
        faults: Mapping[str, Mask],
    ) -> Mask:
        """Note the bad ones of the given numbers; return which could be read."""
        raw = canonical(column.raw)
        for reason, bad in faults.items():
            self._note(bad, raw, reason)
            given = given & ~bad
        low, high = column.range
        with np.errstate(invalid="ignore"):
            outside = given & ~((values >= low) & (values <= high))
        self._note(outside, raw, f"is out of range: {low} to {high}")
        return given

    def _check_points(self) -> None:
        """Refuse points that may separate thousands, in a file whose decimals have a comma."""
        for column, suspect in self._numbers.ambiguous(self._kept).items():
            self._note(suspect, column, GUESS)

    def _codes(self, column: str, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return the position of each row's text among some distinct ones; -1 if it is another."""
        cell = self._table.cell(column)
        known = ", ".join(map(literal, texts))
        found = self._table.select(f"coalesce(enum_code(try_cast({cell} AS ENUM({known}))), -1)")
        return found.astype(np.int64)

    def _whole(self, values: NDArray[np.float64]) -> NDArray[Any]:
        whole = _is_whole(self._of_kept(values)).all()
        return np.nan_to_num(values).astype(np.int64) if whole else values

    def _check_missing(self, feature: Feature, lacking: Mask) -> None:
        if not feature.may_be_missing:
            self._note(self._kept & lacking, canonical(feature.raw), "is missing")

    def _note(self, bad: Mask, column: str, reason: str) -> None:
        if bad.any():
            self._bad.append((bad, column, reason))


def _is_whole(values: NDArray[np.float64]) -> Mask:
    with np.errstate(invalid="ignore"):
        # inf - inf is NaN: an infinite number is not whole.
        whole: Mask = values - np.floor(values) == 0
    return whole
