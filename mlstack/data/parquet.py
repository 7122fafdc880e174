"""Read Parquet files as the texts that a CSV file of the same table would have.

DuckDB writes each number in the shortest way that reads back as the same number, so no precision
is lost. A whole number has no decimals, whatever its type: a column with gaps is often stored as
floating-point. A date and time at midnight is written as a date. Nulls and NaN are empty.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import PurePosixPath
from urllib.parse import unquote

import duckdb

from mlstack.data.canonical import canonical
from mlstack.data.sql import identifier, literal
from mlstack.errors import DataError, DataFault, listing

_EXACT = 10**15
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"


def _text(cell: str, _: str) -> str:
    return f"{cell}::VARCHAR"


def _float(cell: str, _: str) -> str:
    whole = f"{cell} = trunc({cell}) AND abs({cell}) < {_EXACT}"
    return (
        f"CASE WHEN isnan({cell}) THEN '' WHEN {whole} THEN {cell}::BIGINT::VARCHAR "
        f"ELSE {cell}::VARCHAR END"
    )


def _decimal(cell: str, kind: str) -> str:
    scale = int(kind.rstrip(")").rpartition(",")[2])
    return f"rtrim(rtrim({cell}::VARCHAR, '0'), '.')" if scale else f"{cell}::VARCHAR"


def _time(cell: str, _: str) -> str:
    return f"regexp_replace({cell}::VARCHAR, ' 00:00:00$', '')"


_Writer = Callable[[str, str], str]
_NUMBERS: dict[str, _Writer] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"), _text),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"), _text),
    **dict.fromkeys(("FLOAT", "DOUBLE"), _float),
    "DECIMAL": _decimal,
}
_OTHERS: dict[str, _Writer] = {
    **dict.fromkeys(("VARCHAR", "ENUM", "BOOLEAN", "DATE", "TIME", "UUID"), _text),
    "TIMESTAMP WITH TIME ZONE": _text,
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), _time),
}


@dataclass(frozen=True, slots=True)
class ParquetColumns:
    """The columns of a table, by canonical name."""

    names: tuple[str, ...]
    """Those with one value a row, as they are in the database."""
    numbers: frozenset[str]
    """Those of them whose type is a number in every file."""
    unusable: Mapping[str, str]
    """Type of those with lists, structures or bytes."""


class ParquetFile:
    """The columns of one file, and how to select them as texts.

    Args:
        database: Reads the file.
        name: Path within the folder; its parts `name=value` are columns, too.
        location: Where DuckDB finds the file.

    Raises:
        DataError: the file is damaged, or two columns look alike.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, name: str, location: str) -> None:
        self.name, self._database = name, database
        # DuckDB takes a path for a pattern.
        source = f"{literal(escape(location))}, hive_partitioning=false"
        self._rows = f"read_parquet({source})"
        self._numbered = f"read_parquet({source}, file_row_number=true)"
        try:
            found = database.execute(f"DESCRIBE SELECT * FROM {self._rows}").fetchall()
        except duckdb.Error as error:
            raise damaged(name, error) from error
        self.types: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        for column, kind, *_ in found:
            self._add(canonical(str(column)), str(kind), identifier(str(column)))
        for part in PurePosixPath(name).parts[:-1]:
            column, equals, value = part.partition("=")
            if equals:
                text = "" if value == _NULL_PARTITION else unquote(value)
                self._add(canonical(column), "VARCHAR", literal(text))

    def query(self, names: Sequence[str], rows: range | None = None) -> str:
        """Return the SQL that selects columns as texts, without nulls; `rows` count from 0."""
        texts = ", ".join(
            f"coalesce({self._texts[name]}, '') AS c{i}" for i, name in enumerate(names)
        )
        if rows is None:
            return f"SELECT {texts} FROM {self._rows}"
        window = f"file_row_number >= {rows.start} AND file_row_number < {rows.stop}"
        return f"SELECT {texts} FROM {self._numbered} WHERE {window}"

    def count(self) -> int:
        """Return the number of rows; raise DataError if the file is damaged."""
        try:
            [(count,)] = self._database.execute(f"SELECT count(*) FROM {self._rows}").fetchall()
        except duckdb.Error as error:
            raise damaged(self.name, error) from error
        return int(count)

    def _add(self, name: str, kind: str, cell: str) -> None:
        if name in self.types:
            reason = "appears twice among the columns: rename or remove one of them"
            raise DataError(DataFault(reason, column=name))
        self.types[name] = kind
        if writer := _writer(kind):
            self._texts[name] = writer(cell, kind)


def columns_of(files: Sequence[ParquetFile]) -> ParquetColumns:
    """Return the columns that files have in common.

    Raises DataError if one of them has other columns than the first.
    """
    first = files[0]
    for file in files[1:]:
        if differing := first.types.keys() ^ file.types.keys():
            names = listing([repr(name) for name in sorted(differing)])
            reason = (
                f"the files of the folder have different columns: only one of {first.name!r} and "
                f"{file.name!r} has {names}"
            )
            raise DataError(DataFault(reason))
    kinds = {name: [file.types[name] for file in files] for name in first.types}
    unusable = {
        name: next(kind for kind in given if not _writer(kind))
        for name, given in kinds.items()
        if not all(map(_writer, given))
    }
    return ParquetColumns(
        tuple(name for name in kinds if name not in unusable),
        frozenset(name for name, given in kinds.items() if all(map(_is_number, given))),
        unusable,
    )


def load(
    database: duckdb.DuckDBPyConnection,
    files: Sequence[ParquetFile],
    names: Sequence[str],
    rows: range | None = None,
) -> None:
    """Fill the table `cells` with the rows of files; raise DataError if one is damaged."""
    cells = ", ".join(f"c{i} VARCHAR" for i, _ in enumerate(names))
    database.execute(f"CREATE OR REPLACE TABLE cells ({cells})")
    for file in files:
        try:
            database.execute(f"INSERT INTO cells {file.query(names, rows)}")
        except duckdb.Error as error:
            raise damaged(file.name, error) from error


def damaged(name: str, error: duckdb.Error) -> DataError:
    """Return the error of a file that cannot be read."""
    called = f" {name!r}" if name else ""
    reason = str(error).partition("\n")[0]
    return DataError(DataFault(f"the Parquet file{called} is damaged or cut off: {reason}"))


def _writer(kind: str) -> _Writer | None:
    base = kind.partition("(")[0]
    return None if kind.endswith("]") else _NUMBERS.get(base) or _OTHERS.get(base)


def _is_number(kind: str) -> bool:
    return kind.partition("(")[0] in _NUMBERS and not kind.endswith("]")
