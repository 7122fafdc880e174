"""The columns of a raw table that a contract uses."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mlstack.contract import Contract
from mlstack.data.canonical import canonical
from mlstack.data.csv_layout import DELIMITERS
from mlstack.data.text_table import TextTable
from mlstack.errors import DataError, DataFault, listing, shortened


def feature_columns(contract: Contract) -> list[str]:
    """List the raw columns of the features."""
    return [feature.raw for feature in contract.features]


def used_columns(contract: Contract) -> list[str]:
    """List the raw columns that training uses."""
    time = [contract.time.raw] if contract.time else []
    return list(dict.fromkeys([contract.target.raw, *feature_columns(contract), *time]))


def unlisted_columns(raw: TextTable | pd.DataFrame, contract: Contract) -> list[str]:
    """List the columns that the contract neither uses nor drops."""
    key = [contract.key.raw] if contract.key and contract.key.raw else []
    named = [*used_columns(contract), *contract.clean_up.drop_columns, *key]
    known = set(map(canonical, named))
    return [column for column in raw.columns if canonical(column) not in known]


def check_columns(table: TextTable, used: Sequence[str]) -> None:
    """Raise DataError if a table lacks some of the columns that are used."""
    absent = [column for column in used if canonical(column) not in table.columns]
    if not absent:
        return
    nested = [column for column in absent if canonical(column) in table.unusable]
    if nested:
        raise DataError(*(_nested(column, table.unusable[canonical(column)]) for column in nested))
    if len(absent) == len(used):
        names = listing([repr(name) for name in table.columns])
        reason = f"no column of the contract is in the table, whose header names {names}"
        reason += _other_header(table.columns)
        raise DataError(DataFault(reason))
    alike = {_loosely(column): column for column in table.columns}
    raise DataError(
        *(
            DataFault(f"is not in the table{_suggest(column, alike)}", column=column)
            for column in absent
        )
    )


def _other_header(names: Sequence[str]) -> str:
    """Say what may be wrong with a header that names no column of the contract."""
    if len(names) > 1:
        return ": the header must be the first line"
    if any(delimiter in names[0] for delimiter in DELIMITERS):
        return "; is each line in quotes as a whole? Remove these quotes"
    return "; are its cells divided by something other than a comma, semicolon, tab or bar?"


def _nested(column: str, kind: str) -> DataFault:
    reason = f"has the type {shortened(kind)}, not one plain value a row: write it as plain columns"
    return DataFault(reason, column=column)


def _suggest(column: str, alike: Mapping[str, str]) -> str:
    found = alike.get(_loosely(column))
    return f", but {found!r} is: rename one of them" if found else ""


def _loosely(name: str) -> str:
    return "".join(filter(str.isalnum, canonical(name).casefold()))
