"""Detect how a CSV text is written, and refuse it if that would be a guess."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mlstack.data.canonical import canonical
from mlstack.data.csv_rows import CsvRows, Positions
from mlstack.errors import FIRST_BAD_ROWS, DataError, DataFault

DELIMITERS = ",;\t|"
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_SEP_LINE = re.compile(rb'\s*"?sep=([^\w\s"]|\t)"?\s*', re.IGNORECASE)
# A field that begins with a quote, or with a space and a quote, under any delimiter.
_QUOTED = rb'(?:\A|(?<=[,;\t|\n])|(?<=[,;\t|\n] ))"(?:[^"]++|"")*(?:"|\Z)'
# Neither group may be possessive: Python 3.11.2, which Debian 12 has, matches these wrongly.
_LINE = re.compile(rb'(?:[^"\n]++|%b|")+' % _QUOTED)
_PROBED_LINES = 20
_LONGEST_ROW = 16 * 1024 * 1024
_MOST_NULS = 1000
_SHOWN = 40
_MOST = 0.9
"""If so many rows have the same other number of cells, the header is at fault."""


@dataclass(frozen=True, slots=True)
class CsvLayout:
    """How a text is written. Rows are those after the header, without blank ones."""

    delimiter: str
    header: tuple[str, ...]
    """Canonical names of the columns; an empty one has no name."""
    numbers: Positions
    """Number of each row: the first after the header is 1, and blank ones count."""
    lines: Positions
    """Line of the file on which each row begins."""
    body: bytes
    """The rows' text."""
    rows: int
    """Number of rows after the header, blank ones too."""
    longest: int
    """Length of the longest row."""
    even: bool
    """Whether every row has a cell for each column, and no cell holds a line break."""


class NoRows(DataError):
    """A table has a header but no rows."""

    def __init__(self) -> None:
        super().__init__(DataFault("the table has a header but no rows"))


def find_layout(text: bytes, lines_before: int = 0) -> CsvLayout:
    """Detect how a text is written; `lines_before` counts the lines before it, for messages.

    Raises:
        UnclosedField: a quoted field does not close.
        NoRows: there are no rows.
        DataError: it is no table, or can be read in more than one way.
    """
    first, sep = _first_line(text)
    rows = _split(text, first, sep, lines_before)
    # Only blank rows and the line `sep=` are above the header.
    filled = _filled_rows(rows)[1 if sep else 0 :]
    if not len(filled):
        raise DataError(DataFault("the table has no header"))
    above, used = int(filled[0]), filled[1:]
    _check_nul(rows, above)
    _check_swallowed(rows, above)
    header = tuple(map(canonical, rows.texts(above)))
    _check_header(header)
    if not len(used):
        raise NoRows
    _check_cells(rows, above, used, header)
    lengths, lines = (rows.ends - rows.starts)[used], rows.lines(used)
    longest = int(lengths.max())
    if longest > _LONGEST_ROW:
        line = int(lines[lengths.argmax()])
        reason = f"the row in line {line:,} is longer than 16 MiB: is a quote stray?"
        raise DataError(DataFault(reason))
    return CsvLayout(
        delimiter=rows.delimiter,
        header=header,
        numbers=used - above,
        lines=lines,
        body=_body(rows, used),
        rows=len(rows) - above - 1,
        longest=longest,
        even=bool((rows.cells[used] == len(header)).all()) and not rows.breaks_inside,
    )


def _first_line(text: bytes) -> tuple[bytes, str]:
    """Return the header's line, and the delimiter that a line `sep=` above it names."""
    given = _lines(text)
    first = next(given, b"")
    if sep := _SEP_LINE.fullmatch(first):
        return next(given, b""), sep[1].decode()
    return first, ""


def _lines(text: bytes) -> Iterator[bytes]:
    """List the lines that are not blank; a quoted field may hold line breaks."""
    found = (match[0] for match in _LINE.finditer(text))
    return (line for line in found if canonical(line.decode()))


def _split(text: bytes, first: bytes, sep: str, lines_before: int) -> CsvRows:
    if sep:
        return CsvRows(text, sep, lines_before)
    counts = Counter({d: _count(d, first) for d in DELIMITERS})
    found = [delimiter for delimiter, count in counts.most_common() if count]
    if not found:
        _check_title(text, first)
        return CsvRows(text, ",", lines_before)
    if len(found) == 1:
        return CsvRows(text, found[0], lines_before)
    tried = (_try(text, delimiter, lines_before) for delimiter in found)
    even = [rows for rows in tried if rows is not None and _is_even(rows)]
    if len(even) == 1:
        return even[0]
    if not even:
        return CsvRows(text, found[0], lines_before)
    names = " or ".join(_NAMES[rows.delimiter] for rows in even)
    reason = (
        f"header and rows can be divided at {names}: say which, with a line above the header: "
        "sep= and the delimiter, as in sep=;"
    )
    raise DataError(DataFault(reason))


def _count(delimiter: str, line: bytes) -> int:
    return re.sub(_QUOTED, b"", line).count(delimiter.encode())


def _try(text: bytes, delimiter: str, lines_before: int) -> CsvRows | None:
    try:
        return CsvRows(text, delimiter, lines_before)
    except DataError:
        return None


def _is_even(rows: CsvRows) -> bool:
    cells = rows.cells[_filled_rows(rows)]
    return bool((cells == cells[0]).all())


def _check_title(text: bytes, first: bytes) -> None:
    """Refuse a first line without a delimiter above lines that all have one."""
    below = list(islice(_lines(text), 1, _PROBED_LINES))
    for delimiter in DELIMITERS:
        if min((_count(delimiter, line) for line in below), default=0):
            reason = (
                f"the first line, {_shown(first)}, holds one cell, but the lines below it hold "
                f"several, divided by {_NAMES[delimiter]}: if it is a title, delete what is above "
                "the header"
            )
            raise DataError(DataFault(reason))


def _filled_rows(rows: CsvRows) -> Positions:
    """Return the rows without blank ones, which are lines with nothing but white space."""
    blank: NDArray[np.bool_] = rows.ends == rows.starts
    for row in np.flatnonzero((rows.cells == 1) & ~blank).tolist():
        blank[row] = not canonical(rows.row(row).decode())
    return np.flatnonzero(~blank)


def _check_swallowed(rows: CsvRows, above: int) -> None:
    """Refuse quoted fields that may have swallowed rows."""
    shown = [
        (
            rows.line(rows.row_at(opens)),
            rows.text[opens : opens + _SHOWN].decode(errors="replace"),
        )
        for opens in rows.swallowing_fields(above)
    ]
    if shown:
        reason = (
            "a quoted field holds line breaks and as many delimiters as a row, so its quotes are "
            "probably stray: remove them, or the line breaks of the field"
        )
        raise DataError(_in_rows(reason, shown))


def _check_nul(rows: CsvRows, above: int) -> None:
    text = rows.text
    if b"\0" not in text:
        return
    header = rows.texts(above)
    faults: dict[str, list[tuple[int, str]]] = {}
    positions = np.flatnonzero(np.frombuffer(text, np.uint8) == 0)
    # After a power failure, thousands may be in one cell.
    for _ in range(_MOST_NULS):
        if not len(positions):
            break
        row = rows.row_at(int(positions[0]))
        bounds = rows.bounds(row)
        cell = int(np.searchsorted(bounds, positions[0])) - 1
        name = canonical(header[cell]) if cell < len(header) else ""
        start, end = int(bounds[cell]) + 1, int(bounds[cell + 1])
        value = text[start : min(end, start + _SHOWN)].decode(errors="replace")
        faults.setdefault(name or f"{cell + 1}", []).append((rows.line(row), value))
        positions = positions[np.searchsorted(positions, max(end, positions[0] + 1)) :]
    reason = "holds a NUL byte: the file is damaged or not a text; export it again"
    raise DataError(*(_in_rows(reason, rows, column) for column, rows in faults.items()))


def _check_header(header: tuple[str, ...]) -> None:
    if not any(header):
        raise DataError(DataFault("the header names no column"))
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header, start=1):
        places.setdefault(name, []).append(place)
    faults = [
        DataFault(
            f"appears twice in the header, as columns {' and '.join(map(str, at[:2]))}"
            f"{_more(at[2:])}: rename or remove one of them",
            column=name,
        )
        for name, at in sorted(places.items())
        if name and len(at) > 1
    ]
    if faults:
        raise DataError(*faults)


def _more(columns: list[int]) -> str:
    return f", and as {len(columns):,} more" if columns else ""


def _check_cells(rows: CsvRows, above: int, used: Positions, header: tuple[str, ...]) -> None:
    """Refuse rows with more or fewer cells than the header.

    Cells at the end may be missing if their columns have no name: spreadsheets leave them out.
    """
    named = 1 + max(place for place, name in enumerate(header) if name)
    cells = rows.cells[used]
    bad = used[(cells < named) | (cells > len(header))]
    if not len(bad):
        return
    line = rows.line(above)
    usual, count = Counter(cells.tolist()).most_common(1)[0]
    if count >= _MOST * len(used) and not named <= usual <= len(header):
        raise DataError(
            DataFault(
                f"the header in line {line:,} has {len(header)} cells, but the rows have {usual}: "
                f"it begins with {_shown(rows.row(above))}. If it is a title, delete what is above "
                "the header; if not, give each column one name, and quote values with "
                f"{_NAMES.get(rows.delimiter, 'delimiters')} in them"
            )
        )
    reason = (
        f"rows have more or fewer cells than the header, which has {len(header)}: quote values "
        f"with {_NAMES.get(rows.delimiter, 'delimiters')} in them, and complete rows that are cut "
        "off"
    )
    shown = [
        (int(at), f"{cells} cells")
        for at, cells in zip(rows.lines(bad), rows.cells[bad], strict=True)
    ]
    raise DataError(_in_rows(reason, shown))


def _body(rows: CsvRows, used: Positions) -> bytes:
    """Return the text of some rows."""
    jumps = np.flatnonzero(np.diff(used) != 1)
    firsts, lasts = used[np.append(0, jumps + 1)], used[np.append(jumps, len(used) - 1)]
    # Most tables are one piece, which is copied once, with its line break.
    body = b"".join(
        rows.text[rows.starts[first] : rows.ends[last] + 1]
        for first, last in zip(firsts, lasts, strict=True)
    )
    return body if body.endswith(b"\n") else body + b"\n"


def _in_rows(reason: str, rows: list[tuple[int, str]], column: str | None = None) -> DataFault:
    return DataFault(
        reason, column=column, rows=tuple(rows[:FIRST_BAD_ROWS]), count=len(rows), unit="line"
    )


def _shown(text: bytes) -> str:
    return repr(text[:_SHOWN].decode(errors="replace"))
