"""Find where the rows and cells of a CSV text begin and end, by RFC 4180 and nothing looser.

A lenient reader would lose rows silently, so the text is examined before it is parsed.
"""

from collections.abc import Iterator
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlstack.errors import DataError, DataFault

_NEWLINE, _QUOTE, _SPACE = ord("\n"), ord('"'), ord(" ")
_BLOCK = 8 * 1024 * 1024
_SHOWN = 40

Positions = NDArray[np.int64]


class UnclosedField(DataError):
    """A quoted field, which opens at a position of the text, does not close in it."""

    def __init__(self, opens: int, fault: DataFault) -> None:
        self.opens = opens
        super().__init__(fault)


class CsvRows:
    """The rows of a text whose lines end with a line feed.

    `lines_before` is the number of lines before the text, for messages.

    Raises:
        UnclosedField: a quoted field does not close.
        DataError: one does not close at its end.
    """

    def __init__(self, text: bytes, delimiter: str, lines_before: int) -> None:
        self.text = text
        self._before = lines_before
        self.delimiter = delimiter
        self._data = np.frombuffer(text, np.uint8)
        self._edges = self._find_quoted()
        ends, before = self._find_ends()
        self.ends: Positions = ends
        """Where each row ends: the position of its line break."""
        self.starts: Positions = np.concatenate([[0], ends[:-1] + 1])
        self.cells: Positions = np.diff(before, prepend=0) + 1
        """Number of cells of each row."""

    def __len__(self) -> int:
        return len(self.ends)

    def row(self, number: int) -> bytes:
        """Return the text of a row, counted from 0."""
        return self.text[self.starts[number] : self.ends[number]]

    def row_at(self, position: int) -> int:
        """Return the row that contains a position of the text."""
        return int(np.searchsorted(self.ends, position))

    def bounds(self, row: int) -> Positions:
        """Return the positions around a row's cells: before the first, between, after the last."""
        start, end = int(self.starts[row]), int(self.ends[row])
        at = start + np.flatnonzero(self._data[start:end] == ord(self.delimiter))
        cuts = at[np.searchsorted(self._edges, at) % 2 == 0]
        return np.concatenate([[start - 1], cuts, [end]])

    def texts(self, row: int) -> list[str]:
        """Return the texts of a row's cells."""
        return [
            _unquoted(self.text[start + 1 : end].decode())
            for start, end in pairwise(self.bounds(row))
        ]

    def lines(self, rows: Positions) -> Positions:
        """Return the lines of the text, counted from 1, on which rows begin."""
        lines = np.searchsorted(self._breaks, self.starts[rows]) if self.breaks_inside else rows
        return lines + (1 + self._before)

    def line(self, row: int) -> int:
        """Return the line on which one row begins."""
        return int(self.lines(np.array([row]))[0])

    @cached_property
    def breaks_inside(self) -> bool:
        """Whether a quoted field holds a line break."""
        return self.text.count(b"\n") > len(self.ends)

    def swallowing_fields(self, header: int) -> Iterator[int]:
        """Yield where the quoted fields open that may have swallowed rows.

        Such a field holds a line break and as many delimiters as the row of the header: two stray
        quotes in different rows make one.
        """
        if not self.breaks_inside:
            return
        fields = np.searchsorted(self._edges, self._breaks)
        delimiters = max(int(self.cells[header]) - 1, 1)
        for field in np.unique(fields[fields % 2 == 1] // 2):
            opens, closes = (int(at) for at in self._edges[2 * field : 2 * field + 2])
            if self.text.count(self.delimiter.encode(), opens, closes) >= delimiters:
                yield opens

    @cached_property
    def _breaks(self) -> Positions:
        return np.flatnonzero(self._data == _NEWLINE)

    def _find_ends(self) -> tuple[Positions, Positions]:
        """Return the ends of the rows and the number of delimiters before each."""
        ends, before, total = [], [], 0
        for start in range(0, len(self._data), _BLOCK):
            block = self._data[start : start + _BLOCK]
            breaks, delimiters = block == _NEWLINE, block == ord(self.delimiter)
            first, last = np.searchsorted(self._edges, [start, start + len(block)])
            if first % 2 or last > first:
                turns = np.zeros(len(block), np.uint8)
                turns[self._edges[first:last] - start] = 1
                # The sum may overflow; only whether it is odd matters.
                outside = (np.cumsum(turns, dtype=np.uint8) + np.uint8(first % 2)) % 2 == 0
                breaks &= outside
                delimiters &= outside
            found = np.flatnonzero(breaks)
            cuts = np.flatnonzero(delimiters)
            ends.append(found + start)
            before.append(np.searchsorted(cuts, found) + total)
            total += len(cuts)
        if self._data[-1] != _NEWLINE:
            ends.append(np.array([len(self._data)]))
            before.append(np.array([total]))
        return np.concatenate(ends), np.concatenate(before)

    def _find_quoted(self) -> Positions:
        """Return the positions at which quoted fields open and close, in turn."""
        quotes = np.flatnonzero(self._data == _QUOTE)
        if not len(quotes):
            return quotes
        before = np.where(quotes > 0, self._data[quotes - 1], _NEWLINE)
        after = self._data[np.minimum(quotes + 1, len(self._data) - 1)]
        after[quotes + 1 == len(self._data)] = _NEWLINE
        # DuckDB too leaves one space out before the quote that opens a field.
        earlier = np.where(quotes > 1, self._data[np.maximum(quotes - 2, 0)], _NEWLINE)
        may_open = self._is_edge(before) | ((before == _SPACE) & self._is_edge(earlier))
        may_close = self._is_edge(after)
        # Within a quoted field a quote is written twice: it closes the field and opens it again.
        opens_well = (may_open | (before == _QUOTE))[::2].all()
        closes_well = (may_close | (after == _QUOTE))[1::2].all()
        if opens_well and closes_well and len(quotes) % 2 == 0:
            return quotes
        return self._follow_quotes(quotes, may_open, may_close)

    def _is_edge(self, characters: NDArray[np.uint8]) -> NDArray[np.bool_]:
        edges: NDArray[np.bool_] = (characters == _NEWLINE) | (characters == ord(self.delimiter))
        return edges

    def _follow_quotes(
        self, quotes: Positions, may_open: NDArray[np.bool_], may_close: NDArray[np.bool_]
    ) -> Positions:
        """Find the quoted fields where a quote also stands inside a field that is not quoted."""
        at = quotes.tolist()
        edges = []
        number = 0
        while number < len(at):
            opens = number
            number += 1
            if not may_open[opens]:
                continue
            while number + 1 < len(at) and at[number + 1] == at[number] + 1:
                number += 2
            if number >= len(at):
                raise UnclosedField(at[opens], self._never_closes(at[opens]))
            if not may_close[number]:
                raise DataError(self._closes_wrongly(at[opens], at[number]))
            edges += [at[opens], at[number]]
            number += 1
        return np.array(edges, np.int64)

    def _never_closes(self, opens: int) -> DataFault:
        return DataFault(
            f"the quoted field that opens in line {self._line(opens):,} never closes: "
            f"{self._shown(opens)}. Remove the stray quote, or write it twice inside a quoted field"
        )

    def _closes_wrongly(self, opens: int, closes: int) -> DataFault:
        return DataFault(
            f"the quoted field that opens in line {self._line(opens):,} ({self._shown(opens)}) "
            f"closes in line {self._line(closes):,} in the middle of a field "
            f"({self._shown(max(opens, closes - _SHOWN // 2))}): one of the two quotes is stray. "
            "Remove it, or quote the whole field and write a quote inside it twice"
        )

    def _line(self, position: int) -> int:
        return self.text.count(b"\n", 0, position) + 1 + self._before

    def _shown(self, position: int) -> str:
        return repr(self.text[position : position + _SHOWN].decode(errors="replace"))


def _unquoted(cell: str) -> str:
    quoted = cell.removeprefix(" ")
    return quoted[1:-1].replace('""', '"') if quoted.startswith('"') else cell
