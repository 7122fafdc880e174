"""Dates as requests and tables write them: the text YYYY-MM-DD."""

import re
from datetime import date, datetime
from typing import Annotated, Any, TypeGuard

from pydantic import AfterValidator

from mlstack.errors import echo

_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_PROBES = (datetime(1999, 12, 31), datetime(2001, 2, 3))  # noqa: DTZ001 - dates have no zone


def is_day(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a date that exists, written YYYY-MM-DD."""
    if not isinstance(value, str) or not _WRITTEN.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def day_number(day: str) -> int:
    """Return the number of a date; the next day has the next number."""
    return date.fromisoformat(day).toordinal()


def day_text(number: int) -> str:
    """Write the date of a number."""
    return date.fromordinal(number).isoformat()


def _check_day(text: str) -> str:
    if not is_day(text):
        raise ValueError(f"{echo(text)} is not a date: write it as YYYY-MM-DD")
    return text


def _check_format(text: str) -> str:
    for probe in _PROBES:
        try:
            read = datetime.strptime(probe.strftime(text), text)  # noqa: DTZ007 - as above
        except ValueError as error:
            raise ValueError(f"{echo(text)} is not a format of dates: {error}") from error
        if read.date() != probe.date():
            raise ValueError(
                f"{echo(text)} does not tell year, month and day: write it like %d.%m.%Y"
            )
    return text


Day = Annotated[str, AfterValidator(_check_day)]
"""A date that exists, as text."""

DateFormat = Annotated[str, AfterValidator(_check_format)]
"""How raw cells write a date, in the directives of strptime."""
