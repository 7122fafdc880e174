"""Clean and validate a raw table by its contract."""

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
from mlstack.contract.contract import RowTime
from mlstack.contract.days import day_number, day_text
from mlstack.contract.target import BinaryTarget, ClassTarget, RegressionTarget, Target
from mlstack.data.canonical import canonical
from mlstack.data.dates import (
    EPOCH,
    NO_DAY,
    day_expression,
    number_expression,
    time_expression,
)
from mlstack.data.number_columns import NumberColumns, NumberProof
from mlstack.data.numbers import GUESS
from mlstack.data.sql import literal
from mlstack.data.text_table import TextTable
from mlstack.data.time_split import TIME
from mlstack.data.used_columns import check_columns, used_columns
from mlstack.errors import DataError, DataFault, listing

_Mask = NDArray[np.bool_]
_Value = TypeVar("_Value")
_Numeric = IntegerFeature | NumberFeature | RegressionTarget

NOTHING = ("", "NA", "N/A", "#N/A", "<NA>", "n/a", "NaN", "nan", "NULL", "null", "None")
"""How exports write that there is no value."""

_UNKNOWN, _ABSENT, _IGNORED = -1, -2, -3
"""Numbers of targets that are no class."""


def unlisted_columns(raw: TextTable | pd.DataFrame, contract: Contract) -> list[str]:
    """List the columns that the contract neither uses nor drops."""
    key = [contract.key.raw] if contract.key and contract.key.raw else []
    named = [*used_columns(contract), *contract.clean_up.drop_columns, *key]
    known = set(map(canonical, named))
    return [column for column in raw.columns if canonical(column) not in known]


def clean(
    raw: TextTable | pd.DataFrame,
    contract: Contract,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Clean raw rows (texts, from `read_raw`) by the contract.

    Rows whose target is absent or ignored are left out, and unlisted values of a category with
    `other` become it; `say` is called with the numbers of both.

    Returns:
        The features in the contract's order, with the types that `customer_table` describes, and
        the target (1 or 0, a number, or a class), indexed as `raw`; with a time in the contract
        also `TIME`, which `split` takes out.

    Raises:
        DataError: has every error in the table.
    """
    table = raw if isinstance(raw, TextTable) else TextTable.of_frame(raw)
    return Cleaning(table, contract, say or (lambda _: None)).rows()


class Cleaning:
    """One clean-up; collects the faults."""

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
        self._faults: list[DataFault] = []
        self._bad: list[tuple[_Mask, str, str]] = []
        self._missing = {"", *map(canonical, contract.clean_up.missing_values)}
        self._kept: _Mask = np.ones(len(table), np.bool_)
        self._numbers = NumberColumns(table, self._missing, proof)

    def rows(self) -> pd.DataFrame:
        """Return the clean rows; raise DataError with every fault."""
        table, contract = self._table, self._contract
        check_columns(table, used_columns(contract))
        if len(table) == 0:
            raise DataError(DataFault("the table has no rows"))
        self._kept &= ~self._void_rows(used_columns(contract))
        if not self._kept.any():
            raise DataError(DataFault("no row is left after the clean-up"))
        target = contract.target
        if isinstance(target, RegressionTarget):
            outcomes = self._numeric_target(target)
        else:
            outcomes = self._class_target(target)
        columns = self._features()
        times = self._times(contract.time) if contract.time else None
        self._check_points()
        if self._faults:
            raise DataError(*self._faults)
        _check_variety(target, outcomes[self._kept])
        columns[target.name] = outcomes
        if times is not None:
            columns[TIME] = times
        return self._frame(columns)

    def _features(self) -> dict[str, NDArray[Any]]:
        return {feature.name: self._feature(feature) for feature in self._contract.features}

    def _frame(self, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
        index = self._table.index if self._kept.all() else self._table.index[self._kept]
        return pd.DataFrame(
            {
                # Of their own accord, pandas would turn objects into another type of text.
                name: pd.Series(self._of_kept(values), index, dtype=values.dtype, copy=False)
                for name, values in columns.items()
            },
            copy=False,
        )

    def _of_kept(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._kept.all() else values[self._kept]

    def _void_rows(self, columns: Sequence[str]) -> _Mask:
        void = {canonical(value) for value in self._contract.clean_up.void_row_values}
        if not void:
            return np.zeros(len(self._table), np.bool_)
        cells = (self._table.cell(canonical(raw)) for raw in columns)
        among = ", ".join(map(literal, sorted(void)))
        found: _Mask = self._table.select(" OR ".join(f"{cell} IN ({among})" for cell in cells))
        return found

    def _class_target(self, target: ClassTarget) -> NDArray[Any]:
        """Return the class of each row; leave out rows without one."""
        classes = list(target.class_texts)
        positions = {
            text: position
            for position, texts in enumerate(target.class_texts.values())
            for text in texts
        }
        positions |= dict.fromkeys(target.ignored, _IGNORED)
        values = self._distinct_texts(target.raw, positions)
        nothing = {*self._missing, *NOTHING} - values.keys()
        codes = self._codes(canonical(target.raw), [*values, *nothing])
        found = np.array([*values.values(), *[_ABSENT] * len(nothing), _UNKNOWN], np.int64)[codes]
        self._leave_out(found == _IGNORED, "whose target is ignored")
        self._leave_out(found == _ABSENT, "without a target")
        self._check_targets()
        known = listing([repr(text) for texts in target.class_texts.values() for text in texts])
        unknown = self._kept & (found == _UNKNOWN)
        self._note(unknown, canonical(target.raw), f"is an unknown class; known are {known}")
        binary = isinstance(target, BinaryTarget)
        return np.array(classes, np.int64 if binary else object)[np.maximum(found, 0)]

    def _numeric_target(self, target: RegressionTarget) -> NDArray[np.float64]:
        """Return the number of each row; leave out rows without one."""
        nothing = [*({*self._missing, *NOTHING})]
        self._leave_out(self._codes(canonical(target.raw), nothing) >= 0, "without a target")
        self._check_targets()
        values, _, faults = self._numbers.read(canonical(target.raw), self._kept)
        self._check_numbers(target, values, self._kept, faults)
        return values

    def _check_targets(self) -> None:
        if not self._kept.any():
            raise DataError(DataFault("no row has a target", column=self._contract.target.raw))

    def _leave_out(self, rows: _Mask, reason: str) -> None:
        count = int((self._kept & rows).sum())
        self._kept &= ~rows
        if count:
            self._say(f"left out: {count:,} rows {reason} (column {self._contract.target.raw!r})")

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

    def _times(self, time: RowTime) -> NDArray[np.float64]:
        """Return the time of each row, as seconds or as the number that it is."""
        raw = canonical(time.raw)
        cell = self._table.cell(raw)
        lacking = self._codes(raw, list(self._missing)) >= 0
        self._note(self._kept & lacking, raw, "is missing, and the split goes by it")
        given = self._kept & ~lacking
        times: NDArray[np.float64] = self._table.select(time_expression(cell, time.format))
        form = time.format or "YYYY-MM-DD, with or without a time of day"
        if time.format is None and np.isnan(times[given]).all():
            times, form = self._table.select(number_expression(cell)), f"{form}, or a number"
        self._note(given & np.isnan(times), raw, f"is not a time ({form})")
        return times

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
        given: _Mask,
        faults: Mapping[str, _Mask],
    ) -> _Mask:
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

    def _check_missing(self, feature: Feature, lacking: _Mask) -> None:
        if not feature.may_be_missing:
            self._note(self._kept & lacking, canonical(feature.raw), "is missing")

    def _note(self, bad: _Mask, column: str, reason: str) -> None:
        if not bad.any():
            return
        self._bad.append((bad, column, reason))
        fault = self._table.fault(reason, column, bad)
        if any(text in NOTHING for _, text in fault.rows) and reason != "is missing":
            remedy = "; if it means 'missing', list it in the contract under missing_values"
            fault = self._table.fault(reason + remedy, column, bad)
        self._faults.append(fault)


def _is_whole(values: NDArray[np.float64]) -> _Mask:
    with np.errstate(invalid="ignore"):
        # Infinite numbers leave no zero.
        whole: _Mask = values - np.floor(values) == 0
    return whole


def _check_variety(target: Target, outcomes: NDArray[Any]) -> None:
    """Check that there is something to learn: every class, or numbers that differ."""
    if isinstance(target, RegressionTarget):
        if (outcomes == outcomes[0]).all():
            reason = f"every row has the same target, {outcomes[0]:g}: nothing can be learnt"
            raise DataError(DataFault(reason, column=target.raw))
        return
    for value, texts in target.class_texts.items():
        if not (outcomes == value).any():
            label = " or ".join(map(repr, texts))
            raise DataError(DataFault(f"no row is {label}", column=target.raw))
