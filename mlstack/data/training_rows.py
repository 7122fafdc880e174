"""Clean a raw table for training: the features, the target and the time of each row."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.contract import RowTime
from mlstack.contract.target import BinaryTarget, ClassTarget, RegressionTarget, Target
from mlstack.data.canonical import canonical
from mlstack.data.cleaning import NOTHING, Cleaning
from mlstack.data.dates import time_expression
from mlstack.data.numbers import Mask, number_expression, plain_condition
from mlstack.data.text_table import TextTable
from mlstack.data.time_split import TIME
from mlstack.data.used_columns import check_columns, used_columns
from mlstack.errors import DataError, DataFault, listing

_UNKNOWN, _ABSENT, _IGNORED = -1, -2, -3
"""Numbers of targets that are no class."""


def clean(
    raw: TextTable | pd.DataFrame,
    contract: Contract,
    say: Callable[[str], None] = lambda _: None,
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
    return _TrainingCleaning(table, contract, say).rows()


class _TrainingCleaning(Cleaning):
    """A clean-up with the target, which leaves out the rows without one."""

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
        if self._bad:
            raise DataError(*(self._fault(*each) for each in self._bad))
        _check_variety(target, outcomes[self._kept])
        columns[target.name] = outcomes
        if times is not None:
            columns[TIME] = times
        return self._frame(columns)

    def _fault(self, bad: Mask, column: str, reason: str) -> DataFault:
        fault = self._table.fault(reason, column, bad)
        if {text for _, text in fault.rows} & ({*NOTHING} - self._missing):
            remedy = "; if it means 'missing', list it in the contract under missing_values"
            return replace(fault, reason=reason + remedy)
        return fault

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

    def _leave_out(self, rows: Mask, reason: str) -> None:
        count = int((self._kept & rows).sum())
        self._kept &= ~rows
        if count:
            self._say(f"left out: {count:,} rows {reason} (column {self._contract.target.raw!r})")

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
            number = number_expression(cell, plain_condition(cell))
            times, form = self._table.select(number), f"{form}, or a number"
        self._note(given & np.isnan(times), raw, f"is not a time ({form})")
        return times


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
