"""The raw table, step by step: read, clean, split."""

from pathlib import Path

from mlstack.contract import Contract
from mlstack.data.splitting import SplitRows, split
from mlstack.data.text_table import TextTable
from mlstack.data.training_rows import clean
from mlstack.data.used_columns import unlisted_columns
from mlstack.errors import DataError

__all__ = [
    "SplitRows",
    "check_table",
    "clean",
    "read_raw",
    "split",
    "unlisted_columns",
]


def read_raw(source: Path | bytes) -> TextTable:
    """Read a raw table, CSV or Parquet, as texts.

    Raises DataError if it is no table, is empty, or can be read in more than one way.
    """
    return TextTable.read(source)


def check_table(source: Path | bytes, contract: Contract, origin: str) -> list[str]:
    """Check a table as training does; return notes on what training would leave out.

    Raises DataError, which begins with `origin`, if training would refuse the table.
    """
    try:
        table = read_raw(source)
        left_out = list(table.notes)
        split(clean(table, contract, left_out.append), contract)
    except DataError as error:
        raise DataError(*error.faults, origin=origin) from error
    return left_out
