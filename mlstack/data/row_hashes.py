"""Derive a number for each row of a table from its content.

The numbers must never change: else a champion would be judged on rows that it was trained on.
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_ROWS = 4096
"""Written at once: few enough to stay in the processor's cache."""

_THREADS = 2
"""NumPy releases the interpreter lock, but more than two threads would mostly wait for it."""

_COMBINATIONS = 4096
_MOST_DECIMALS = 4
_CERTAIN_BELOW = 1e15
"""No two decimal numbers of so few digits are the same float, so the shortest text is known."""


def row_hashes(rows: pd.DataFrame, seed: int) -> NDArray[np.uint64]:
    """Return the keyed BLAKE2b digest of each row, as `repr` writes the tuple of its values."""
    keyed = hashlib.blake2b(digest_size=8, key=seed.to_bytes(8, "big"))
    # Copying takes less time than making an object with a key.
    fresh = keyed.copy
    digests = []
    for texts in _written(_pieces(rows)):
        for text in texts:
            hashed = fresh()
            hashed.update(text)
            digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)


class _Piece(NamedTuple):
    """A part of each row's text: distinct texts, and which one each row has."""

    codes: NDArray[np.int64]
    texts: Sequence[str]

    def within(self, before: str, after: str) -> "_Piece":
        """Put something before and after each text."""
        return _Piece(self.codes, [f"{before}{text}{after}" for text in self.texts])

    def followed_by(self, other: "_Piece") -> "_Piece":
        """Combine each text with each of another piece."""
        return _Piece(
            self.codes * len(other.texts) + other.codes,
            [left + right for left in self.texts for right in other.texts],
        )


def _written(pieces: Sequence[_Piece]) -> Iterator[list[bytes]]:
    """Yield the texts of the rows, some at a time."""
    tables = [np.array([text.encode() for text in piece.texts], object) for piece in pieces]
    for start in range(0, len(pieces[0].codes), _ROWS):
        chosen = (
            table[piece.codes[start : start + _ROWS]].tolist()
            for table, piece in zip(tables, pieces, strict=True)
        )
        yield [*map(b"".join, zip(*chosen, strict=True))]


def _pieces(rows: pd.DataFrame) -> list[_Piece]:
    """Write the rows in pieces: each distinct text once, and small pieces combined."""
    last = rows.shape[1] - 1
    pieces: list[_Piece] = []
    with ThreadPoolExecutor(_THREADS) as threads:
        columns = [*threads.map(_column, [rows[name].to_numpy() for name in rows.columns])]
    for number, column in enumerate(columns):
        column[0] = column[0].within("(" if number == 0 else "", "")
        column[-1] = column[-1].within("", ")" if number == last else ", ")
        for piece in column:
            if pieces and len(pieces[-1].texts) * len(piece.texts) <= _COMBINATIONS:
                pieces.append(pieces.pop().followed_by(piece))
            else:
                pieces.append(piece)
    return pieces


def _column(values: NDArray[Any]) -> list[_Piece]:
    if values.dtype == np.float64:
        return _decimals(values) or [_floats(values)]
    if values.dtype == np.int64:
        return [_integers(values)]
    codes, distinct = pd.factorize(values)
    texts = [*map(repr, distinct.tolist())]
    if (missing := codes < 0).any():
        codes[missing] = len(texts)
        texts.append(repr(None))
    return [_Piece(codes, texts)]


def _integers(values: NDArray[np.int64]) -> _Piece:
    low, high = int(values.min()), int(values.max())
    if high - low < _COMBINATIONS:
        return _Piece(values - low, [*map(repr, range(low, high + 1))])
    codes, distinct = pd.factorize(values)
    return _Piece(codes, [*map(repr, distinct.tolist())])


def _floats(values: NDArray[np.float64]) -> _Piece:
    # As numbers, the two zeros are equal; as texts they are not.
    codes, bits = pd.factorize(values.view(np.int64))
    distinct = bits.view(np.float64).tolist()
    return _Piece(codes, repr(distinct)[1:-1].split(", "))


def _decimals(values: NDArray[np.float64]) -> list[_Piece]:
    """Write numbers with few decimals in two pieces: before the point, and from it on.

    There are far fewer of each than numbers. Empty if some numbers have more decimals.
    """
    missing = np.isnan(values)
    sizes = np.where(missing, 0, np.abs(values))
    for decimals in range(1, _MOST_DECIMALS + 1):
        unit = 10**decimals
        if _is_multiple(sizes[:_ROWS], unit) and _is_multiple(sizes, unit):
            break
    else:
        return []
    whole, rest = np.divmod(np.rint(sizes * unit).astype(np.int64), unit)
    signed = whole * 2 + np.signbit(values)
    signed[missing], rest[missing] = -1, unit
    codes, distinct = pd.factorize(signed)
    used = np.flatnonzero(np.bincount(rest, minlength=unit + 1))
    places = np.empty(unit + 1, np.int64)
    places[used] = np.arange(len(used))
    fronts = ["nan" if n < 0 else f"{'-' * (n % 2)}{n // 2}" for n in distinct.tolist()]
    # Without the zero before the point.
    ends = ["" if n == unit else repr(n / unit)[1:] for n in used.tolist()]
    return [_Piece(codes, fronts), _Piece(places[rest], ends)]


def _is_multiple(sizes: NDArray[np.float64], unit: int) -> bool:
    """Whether each number is the float nearest to a multiple of 1 / unit."""
    with np.errstate(over="ignore"):
        scaled = np.rint(sizes * unit)
    return bool(((scaled / unit == sizes) & (scaled < _CERTAIN_BELOW)).all())
