"""Columns of dates, as texts, in tables."""

import numpy as np
import pandas as pd

from mlstack.contract import DateFeature
from mlstack.contract.days import day_number
from mlstack.data.sql import literal

EPOCH = day_number("1970-01-01")
"""Number of the day that SQL counts from."""

NO_DAY = -(2**31)
"""What `day_expression` gives for a text that is no date."""

_ISO = r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9:.]+(Z|[+-][0-9:]+)?)?"


def days_since(
    rows: pd.DataFrame, feature: DateFeature, without: str | None = None
) -> "pd.Series[float]":
    """Return the days from a date's base to the date; NaN if either is missing.

    A date that has no base counts from `without`.
    """
    base = _days(rows[feature.since]) if feature.since else np.datetime64(without, "D")
    between = _days(rows[feature.name]) - base
    days = between.astype(np.float64)
    days[np.isnat(between)] = np.nan
    return pd.Series(days, index=rows.index)


def day_expression(cell: str, form: str | None) -> str:
    """Write SQL that reads a cell as days since 1970."""
    if form is None:
        day = f"try_cast(substr({cell}, 1, 10) AS DATE)"
        day = f"CASE WHEN regexp_full_match({cell}, {literal(_ISO)}) THEN {day} END"
    else:
        day = f"try_strptime({cell}, {literal(form)})::DATE"
    return f"coalesce(({day}) - DATE '1970-01-01', {NO_DAY})"


def time_expression(cell: str, form: str | None) -> str:
    """Write SQL that reads a cell as seconds since 1970, NaN if it is no time.

    Without an offset a time of day is taken as UTC.
    """
    if form is None:
        time = f"epoch(try_cast({cell} AS TIMESTAMPTZ))"
        time = f"CASE WHEN regexp_full_match({cell}, {literal(_ISO)}) THEN {time} END"
    else:
        time = f"epoch(try_strptime({cell}, {literal(form)}))"
    return f"coalesce({time}, 'NaN'::DOUBLE)"


def _days(column: pd.Series) -> np.ndarray:
    texts = column.to_numpy(dtype=object)
    return np.where(column.isna(), "NaT", texts).astype("datetime64[D]")
