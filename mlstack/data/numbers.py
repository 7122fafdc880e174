"""Read numbers as people and spreadsheets write them, but only where one reading is possible."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlstack.data.sql import literal

_PLAIN = r"[+-]?[0-9]+(\.[0-9]*)?"

GROUPED_BY_POINTS = r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+"
"""May be whole numbers in groups of thousands, or have three decimals."""

_GROUPS = "[1-9][0-9]{{0,2}}(?P<group>[{}' \u2019])[0-9]{{3}}(?:(?P=group)[0-9]{{3}})*"
_POINT = re.compile(rf"[+-]?(?:[0-9]+|{_GROUPS.format(',')})(?:\.[0-9]*)?")
_COMMA = re.compile(rf"[+-]?(?:[0-9]+|{_GROUPS.format('.')})?(?:,[0-9]+)?(?<=[0-9])")
_MINUS = "\u2212"

GUESS = (
    "may be thousands or have three decimals: write numbers without thousands separators and with "
    "a decimal point"
)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Notation:
    """What the texts of a column prove about how it writes numbers.

    Args:
        point: A text is a number only if a point separates the decimals.
        comma: A text is one only if a comma does.
        differ: A text is another number in each of the two.
    """

    point: bool = False
    comma: bool = False
    differ: bool = False

    def __or__(self, other: "Notation") -> "Notation":
        """Return what the texts of both prove together."""
        return Notation(
            self.point or other.point, self.comma or other.comma, self.differ or other.differ
        )

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma separates the decimals."""
        return self.comma and not self.point


@dataclass(frozen=True, slots=True)
class Numbers:
    """Distinct texts as numbers; a text with a fault is NaN.

    Args:
        values: The numbers.
        faults: For each reason, which texts have it.
        notation: What the texts prove.
    """

    values: NDArray[np.float64]
    faults: dict[str, Mask] = field(default_factory=dict)
    notation: Notation = Notation()

    @property
    def decimal_comma(self) -> bool:
        """Whether the texts prove that a comma separates the decimals."""
        return self.notation.decimal_comma


def read_numbers(
    texts: Sequence[str], *, gaps: bool = False, notation: Notation | None = None
) -> Numbers:
    """Read the distinct texts of one column; `gaps` says whether it also has missing values.

    A decimal comma and groups of thousands are understood if only one reading fits all texts.
    `notation` is what the whole column proves, if these are the texts of a part of it.
    """
    # pandas reads whole numbers beyond 2^53 in another way if the column has gaps.
    values = _parse([*texts, *[np.nan] * gaps])[: len(texts)]
    if np.isfinite(values).all() and not (notation and notation.decimal_comma):
        return Numbers(values)
    signed = [text.replace(_MINUS, "-", 1) for text in texts]
    finite = np.isfinite(values)
    as_point = [
        text if is_number else _ungrouped(_POINT, text)
        for text, is_number in zip(signed, finite.tolist(), strict=True)
    ]
    as_comma = [_ungrouped(_COMMA, text) for text in signed]
    points, commas = _parse(as_point), _parse(as_comma)
    no_point, no_comma = np.isnan(points), np.isnan(commas)
    only_point, only_comma = no_comma & ~no_point, no_point & ~no_comma
    differ = ~no_point & ~no_comma & (points != commas)
    if notation is None:
        notation = Notation(bool(only_point.any()), bool(only_comma.any()), bool(differ.any()))
    faults = {"is not a number": no_point & no_comma}
    if notation.point and notation.comma:
        faults["has a decimal comma, but other rows have a decimal point: use one of them"] = (
            only_comma
        )
    elif not notation.point and not notation.comma and notation.differ:
        faults[GUESS] = differ
    read = commas if notation.decimal_comma else points
    return Numbers(read, {r: mask for r, mask in faults.items() if mask.any()}, notation)


def plain_condition(cell: str) -> str:
    """Write SQL: whether every reader reads a cell as the same number, if it is short."""
    return f"regexp_full_match({cell}, {literal(_PLAIN)})"


def number_expression(cell: str, condition: str) -> str:
    """Write SQL that reads a cell as a number where a condition holds, elsewhere as NaN."""
    return f"CASE WHEN {condition} THEN {cell}::DOUBLE ELSE 'NaN'::DOUBLE END"


def _parse(texts: Sequence[str | float | None]) -> NDArray[np.float64]:
    # pandas reads '5e 1' as 50; groups of thousands have no spaces any more.
    solid = [None if isinstance(text, str) and " " in text else text for text in texts]
    parsed = pd.to_numeric(pd.Series(np.array(solid, dtype=object)), errors="coerce")
    values: NDArray[np.float64] = parsed.to_numpy("float64", copy=True)
    # pandas reads 'inf' as a number; here it is an error.
    values[~np.isfinite(values)] = np.nan
    return values


def _ungrouped(notation: "re.Pattern[str]", text: str) -> str | None:
    """Write a number of a notation as a plain one; return None if it is not of the notation."""
    match = notation.fullmatch(text)
    if match is None:
        return None
    plain = text.replace(match["group"], "") if match["group"] else text
    return plain.replace(",", ".")
