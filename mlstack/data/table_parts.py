"""Read a table part by part, in memory that does not grow with it.

Each part is read by the same code as a whole table. Its rows have the numbers that they have in the
whole table.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlstack.data import parquet
from mlstack.data.csv_layout import CsvLayout, NoRows, find_layout
from mlstack.data.csv_rows import UnclosedField
from mlstack.data.database import connect
from mlstack.data.encoding import text_encoding
from mlstack.data.table_files import GZIP, PARQUET, NoParquetFiles, parquet_paths
from mlstack.data.text_table import TextTable
from mlstack.errors import DataError, DataFault

_CHARACTERS = 8 * 1024 * 1024
_LONGEST = 4
"""A row that spans more parts than this has a stray quote."""
_ROWS = 50_000
_HEAD = 64 * 1024


def read_parts(path: Path) -> Iterator[TextTable]:
    """Yield the parts of a table: a CSV or Parquet file, or a folder of Parquet files.

    A part whose rows are all blank is left out.

    Raises DataError as `read_raw` does, and if no part has rows.
    """
    found = False
    for part in _parts(path):
        found = True
        yield part
    if not found:
        raise NoRows


def _parts(path: Path) -> Iterator[TextTable]:
    if path.is_dir():
        yield from _parquet_parts(parquet_paths(path))
        return
    with _open(path) as file:
        with _read_errors(0):
            head = file.read(_HEAD)
        if head.startswith(PARQUET):
            if _is_packed(path):
                raise DataError(DataFault("the file is Parquet inside gzip: unpack it first"))
            yield from _parquet_parts({"": path})
            return
        encoding, start = text_encoding(head)
        file.seek(start)
        with io.TextIOWrapper(file, encoding, newline=None) as text:
            yield from _text_parts(text)


def _parquet_parts(paths: dict[str, Path]) -> Iterator[TextTable]:
    if not paths:
        raise NoParquetFiles
    database = connect()
    files = [parquet.ParquetFile(database, name, str(path)) for name, path in paths.items()]
    columns = parquet.columns_of(files)
    before = 0
    for file in files:
        count = file.count()
        for start in range(0, count, _ROWS):
            part = connect()
            parquet.load(part, [file], columns.names, range(start, start + _ROWS))
            try:
                yield TextTable.of_cells(part, columns, before + start)
            except NoRows:
                continue
        before += count


def _text_parts(file: io.TextIOWrapper) -> Iterator[TextTable]:
    rest, head, rows, lines, more, empty = b"", b"", 0, 0, True, True
    while more:
        given = _read(file, lines)
        text, more = rest + given, bool(given)
        end = text.rfind(b"\n") + 1 if more else len(text)
        rest = text
        if not text[:end].strip():
            continue
        empty = False
        try:
            layout, end = _layout(head, text, end, lines, more=more)
        except UnclosedField:
            if not more or len(text) > _LONGEST * _CHARACTERS:
                raise
            continue
        except NoRows:
            continue
        head = head or _head(layout)
        table = _table(layout, rows)
        rows += layout.rows
        lines += text.count(b"\n", 0, end)
        rest = text[end:]
        if table is not None:
            yield table
    if empty:
        raise DataError(DataFault("the table is empty"))


def _table(layout: CsvLayout, before: int) -> TextTable | None:
    try:
        table = TextTable.of_layout(layout)
    except NoRows:
        return None
    table.index = table.index + before
    return table


def _read(file: io.TextIOWrapper, lines: int) -> bytes:
    with _read_errors(lines):
        try:
            return file.read(_CHARACTERS).encode()
        except UnicodeDecodeError as error:
            reason = f"the file is not in {file.encoding.upper()} after line {lines + 1:,}"
            raise DataError(DataFault(f"{reason}: {error}. Save it as UTF-8")) from error


@contextmanager
def _read_errors(lines: int) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        reason = f"the file is damaged or cut off after line {lines + 1:,}: {error}"
        raise DataError(DataFault(reason)) from error


def _layout(head: bytes, text: bytes, end: int, lines: int, *, more: bool) -> tuple[CsvLayout, int]:
    """Find the layout of a text's complete rows; return also where they end."""
    before = lines - head.count(b"\n")
    while True:
        try:
            return find_layout(head + text[:end], before), end
        except UnclosedField as error:
            end = text.rfind(b"\n", 0, max(error.opens - len(head), 0)) + 1
            if not (more and end):
                raise


def _head(layout: CsvLayout) -> bytes:
    """Write the header of the parts after the first."""
    line = io.StringIO()
    names = csv.writer(line, delimiter=layout.delimiter, lineterminator="\n")
    names.writerow(layout.header)
    return f"sep={layout.delimiter}\n{line.getvalue()}".encode()


def _is_packed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(GZIP)) == GZIP


def _open(path: Path) -> IO[bytes]:
    if _is_packed(path):
        return gzip.open(path, "rb")  # type: ignore[return-value] # in binary mode
    return path.open("rb")
