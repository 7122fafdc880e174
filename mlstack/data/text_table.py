"""A raw table: columns of texts, in a DuckDB database in memory.

A million rows take a third of the memory of the same texts as Python objects. Parquet
fills the same database.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.data import parquet
from mlstack.data.canonical import canonical
from mlstack.data.csv_layout import CsvLayout, NoRows, find_layout
from mlstack.data.csv_rows import Positions
from mlstack.data.database import connect, file_of
from mlstack.data.encoding import table_text
from mlstack.data.sql import literal
from mlstack.data.table_files import parquet_files, table_content, unpack
from mlstack.errors import FIRST_BAD_ROWS, DataError, DataFault, listing

# What `canonical` may change, as a regular expression of DuckDB.
_SUSPICIOUS = r"^[\x09-\x0d\x1c-\x20]|[\x09-\x0d\x1c-\x20]$|[^\x00-\x7f]"

_BLOCK = 1024 * 1024


class TextTable:
    """Rows of canonical texts, none of them blank, indexed by their number in the file."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, columns: Sequence[str], index: pd.Index
    ) -> None:
        """Take a database whose table `cells` has the columns c0, c1, ... for these names."""
        self._database = database
        self.columns = tuple(columns)
        self.index = index
        self.lines: Positions | None = None
        """Line of the file on which each row begins; None if it is not a text file."""
        self.delimiter: str | None = None
        self.numbers: frozenset[str] = frozenset()
        """Columns whose type in the file is a number; each of their texts is exact."""
        self.unusable: Mapping[str, str] = {}
        """Columns that no contract can use, such as lists, with their types."""
        self.notes: list[str] = []
        """What was left out, as sentences."""

    @classmethod
    def read(cls, source: Path | bytes) -> Self:
        """Read CSV or Parquet, which may be compressed with gzip, or a folder of Parquet files.

        Raises DataError if it is neither, or can be read in more than one way.
        """
        content = unpack(source if isinstance(source, bytes) else table_content(source))
        if files := parquet_files(content):
            return cls._of_parquet(files)
        return cls.of_layout(find_layout(table_text(content)))

    @classmethod
    def of_layout(cls, layout: CsvLayout) -> Self:
        """Read the rows of a CSV text; raise NoRows if all of their cells are empty."""
        database = connect()
        _load(database, layout)
        last = int(layout.numbers[-1])
        gapless = last == len(layout.numbers)
        index = pd.RangeIndex(1, last + 1) if gapless else pd.Index(layout.numbers)
        table = cls(database, layout.header, index)
        table.lines = layout.lines
        table.delimiter = layout.delimiter
        if not _is_canonical(layout):
            table._make_canonical()
        table._drop_unnamed()
        table._drop_blank_rows()
        return table

    @classmethod
    def _of_parquet(cls, contents: Mapping[str, bytes]) -> Self:
        database = connect()
        with ExitStack() as opened:
            files = [
                parquet.ParquetFile(database, name, opened.enter_context(file_of(content)))
                for name, content in sorted(contents.items())
            ]
            columns = parquet.columns_of(files)
            parquet.load(database, files, columns.names)
        return cls.of_cells(database, columns)

    @classmethod
    def of_cells(
        cls, database: duckdb.DuckDBPyConnection, columns: parquet.ParquetColumns, before: int = 0
    ) -> Self:
        """Take the rows that `parquet.load` has put into a database; `before` were read before.

        Raises NoRows if there are none, or all of their cells are empty.
        """
        [(count,)] = database.execute("SELECT count(*) FROM cells").fetchall()
        if not count:
            raise NoRows
        table = cls(database, columns.names, pd.RangeIndex(before + 1, before + count + 1))
        table.numbers, table.unusable = columns.numbers, columns.unusable
        table._make_canonical()
        table._drop_unnamed()
        table._drop_blank_rows()
        return table

    @classmethod
    def of_frame(cls, frame: pd.DataFrame) -> Self:
        """Make a table from a data frame of texts."""
        database = connect()
        names = [f"c{i}" for i in range(frame.shape[1])]
        texts = frame.set_axis(names, axis="columns").astype(object)
        database.register("frame", texts.where(texts.notna(), None))
        columns = ", ".join(f"coalesce({name}::VARCHAR, '') AS {name}" for name in names)
        database.execute(f"CREATE TABLE cells AS SELECT {columns} FROM frame")
        database.unregister("frame")
        table = cls(database, [canonical(str(name)) for name in frame.columns], frame.index)
        table._make_canonical()
        return table

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, column: str) -> "pd.Series[str]":
        texts = self.select(self.cell(column))
        return pd.Series(texts, index=self.index, name=column, dtype="str")

    def frame(self) -> pd.DataFrame:
        """Return the table as a data frame of texts."""
        return pd.DataFrame({name: self[name] for name in self.columns}, index=self.index)

    def cell(self, column: str) -> str:
        """Return the name of a column in the database."""
        if column not in self.columns:
            raise KeyError(column)
        return f"c{self.columns.index(column)}"

    def select(self, expression: str) -> NDArray[Any]:
        """Evaluate an expression of SQL without nulls for each row."""
        result = self._database.execute(f"SELECT {expression} AS value FROM cells").fetchnumpy()
        return np.asarray(result["value"])

    def find(self, condition: str, cell: str) -> tuple[Positions, NDArray[Any]]:
        """Return position and text of the cells in rows that fulfil a condition of SQL."""
        query = f"SELECT rowid AS row, {cell} AS value FROM cells WHERE {condition}"
        result = self._database.execute(query).fetchnumpy()
        return np.asarray(result["row"]), np.asarray(result["value"])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a query on the table `cells`."""
        return self._database.execute(sql).fetchall()

    def fault(self, reason: str, column: str, bad: NDArray[np.bool_]) -> DataFault:
        """Describe the rows that are bad."""
        first = np.flatnonzero(bad)[:FIRST_BAD_ROWS]
        among = ", ".join(map(str, first.tolist()))
        _, texts = self.find(f"rowid IN ({among}) ORDER BY rowid", self.cell(column))
        places = self.index[first] if self.lines is None else self.lines[first]
        return DataFault(
            reason,
            column=column,
            rows=tuple(zip((int(str(p)) for p in places), map(str, texts), strict=True)),
            count=int(bad.sum()),
            unit="row" if self.lines is None else "line",
        )

    def _make_canonical(self) -> None:
        for i, name in enumerate(self.columns):
            if name in self.numbers:
                continue
            query = f"SELECT DISTINCT c{i} FROM cells WHERE regexp_matches(c{i}, ?)"
            found = [text for (text,) in self._database.execute(query, [_SUSPICIOUS]).fetchall()]
            changed = {text: new for text in found if (new := canonical(text)) != text}
            if changed:
                self._database.execute(
                    f"UPDATE cells SET c{i} = new FROM (SELECT unnest(?) AS old, unnest(?) AS new)"
                    f" WHERE c{i} = old",
                    [list(changed), list(changed.values())],
                )

    def _drop_unnamed(self) -> None:
        """Drop columns without a name, which no contract can use."""
        unnamed = [i for i, name in enumerate(self.columns) if not name]
        if not unnamed:
            return
        filled = [i for i in unnamed if self._has_values(f"c{i}")]
        if len(filled) > len(self.columns) - len(unnamed):
            raise DataError(
                DataFault(
                    f"the header names only {len(self.columns) - len(unnamed)} of "
                    f"{len(self.columns)} columns: if it is a title, delete what is above the "
                    "header"
                )
            )
        for kind, places in (
            ("empty", [i for i in unnamed if i not in filled]),
            ("filled", filled),
        ):
            if places:
                numbers = listing([i + 1 for i in places])
                self.notes.append(f"left out: {kind} columns without a name (number {numbers})")
        named = [i for i, name in enumerate(self.columns) if name]
        renamed = ", ".join(f"c{old} AS c{new}" for new, old in enumerate(named))
        self._replace(f"SELECT {renamed} FROM cells")
        self.columns = tuple(self.columns[i] for i in named)

    def _has_values(self, cell: str) -> bool:
        found = self._database.execute(f"SELECT 1 FROM cells WHERE {cell} <> '' LIMIT 1").fetchone()
        return found is not None

    def _drop_blank_rows(self) -> None:
        """Drop rows whose cells are all empty."""
        blank = " AND ".join(f"c{i} = ''" for i in range(len(self.columns)))
        rows, _ = self.find(blank, "c0")
        if len(rows) == 0:
            return
        if len(rows) == len(self):
            raise NoRows
        self._replace(f"SELECT * FROM cells WHERE NOT ({blank})")
        self.index = self.index.delete(rows)
        if self.lines is not None:
            self.lines = np.delete(self.lines, rows)

    def _replace(self, query: str) -> None:
        self._database.execute(f"CREATE TABLE others AS {query}")
        self._database.execute("DROP TABLE cells")
        self._database.execute("ALTER TABLE others RENAME TO cells")


def _load(database: duckdb.DuckDBPyConnection, layout: CsvLayout) -> None:
    """Parse the rows, whose quotes and number of cells are known to be right."""
    names = [f"c{i}" for i in range(len(layout.header))]
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    with file_of(layout.body) as path:
        database.execute(
            f"CREATE TABLE cells AS SELECT * FROM read_csv({literal(path)}, "
            f"columns={{{types}}}, force_not_null={names}, "
            f"delim={literal(layout.delimiter)}, quote='\"', escape='\"', "
            "header=false, auto_detect=false, new_line='\\n', strict_mode=true, "
            f"null_padding={not layout.even}, parallel={layout.even}, "
            f"max_line_size={max(2 * layout.longest, 2_097_152)})"
        )
    [(count,)] = database.execute("SELECT count(*) FROM cells").fetchall()
    if count != len(layout.numbers):
        raise RuntimeError(f"DuckDB read {count} rows of {len(layout.numbers)}")


def _is_canonical(layout: CsvLayout) -> bool:
    if not (layout.even and layout.body.isascii()):
        return False
    data = np.frombuffer(layout.body, np.uint8)
    first = np.frombuffer(b"\n" + layout.body[:1], np.uint8)
    # Blocks share a character: it may stand beside an edge in either.
    blocks = (data[start : start + _BLOCK + 1] for start in range(0, len(data), _BLOCK))
    return not any(_has_padding(block, layout.delimiter) for block in (first, *blocks))


def _has_padding(data: NDArray[np.uint8], delimiter: str) -> bool:
    """Return whether white space stands beside the edge of a cell."""
    white = (data <= ord(" ")) & (data != ord("\n"))
    edge = (data == ord(delimiter)) | (data == ord("\n")) | (data == ord('"'))
    if delimiter == "\t":
        white &= data != ord("\t")
    return bool((white[1:] & edge[:-1]).any() or (white[:-1] & edge[1:]).any())
