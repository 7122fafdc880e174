"""The raw table, step by step: read, clean, split."""

from pathlib import Path

from mlstack.data.cleaning import clean, unlisted_columns
from mlstack.data.splitting import SplitRows, split
from mlstack.data.text_table import TextTable

__all__ = ["SplitRows", "TextTable", "clean", "read_raw", "split", "unlisted_columns"]


def read_raw(source: Path | bytes) -> TextTable:
    """Read a raw table as texts.

    Raises DataError if it is not a CSV file, is empty, or can be read in more than one way.
    """
    return TextTable.read(source)
