"""Draft a feature from a column, or say why the column is left out."""

import math
import re
from datetime import datetime
from typing import Any

from mlstack.data.sql import literal
from operations.contract_draft.columns import Column, Range, looks_like_number
from operations.contract_draft.drafted import Drafted, words_of

MOST_VALUES = 1000
"""Categories with more values are left out: each value becomes a column of the model."""

IDENTIFIES = "identifies rows, as most values occur once: is it the key?"
_FEW = 20
_RARE_ROWS = 5
_MOST_CELLS = 200_000_000
"""Cells of a matrix, which takes 4 bytes for each, and XGBoost up to 10."""
_UNIQUE_SHARE = 0.95
_MANY_SHARE = 0.5
_NEARLY_EMPTY = 0.95
_SENTENCE = 25
_MOSTLY = 0.8
_SIGNED = re.compile(
    r"[^0-9A-Za-z]{0,3}[0-9][0-9., ]*[^0-9A-Za-z]{0,3}(?<![0-9])|[^0-9A-Za-z+-]{1,3}[0-9][0-9., ]*"
)
_YEAR = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ].*)?")
_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%Y%m%d", "%d-%m-%Y", "%m-%d-%Y")
_IDENTIFIERS = frozenset(
    {
        *("id", "ids", "key", "uuid", "guid", "identifier", "code", "no", "nr", "num", "number"),
        *("index", "row", "rowid", "rowname", "rownames"),
    }
)
_TRUE = frozenset({"true", "t", "yes", "y", "1", "on"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "off"})


def most_values(columns: list[Column]) -> int:
    """Return how many values a category may list, so that training fits into memory."""
    wide = sum(1 for c in columns if c.range is None and _FEW < c.distinct <= MOST_VALUES)
    fitting = _MOST_CELLS // (max(1, wide) * max(1, columns[0].rows))
    return min(MOST_VALUES, max(_FEW, fitting))


def draft_feature(column: Column, most: int) -> Drafted:
    """Draft a feature from a column; a category lists its `most` most frequent values."""
    texts = column.texts
    if not texts:
        return Drafted(column, notes=("is empty",))
    if len(texts) == 1:
        return Drafted(column, notes=("has one value only",))
    notes: tuple[str, ...] = ()
    if column.missing > _NEARLY_EMPTY * column.rows:
        notes = (f"is nearly empty: only {column.given:,} rows have a value",)
    numbers = column.range
    if is_boolean(column):
        raw = {text: text.casefold() in _TRUE for text in sorted(texts, key=str.casefold)}
        example = raw[column.most_frequent]
        return Drafted(column, {"kind": "boolean", "raw_values": raw, "example": example}, notes)
    if numbers and not _has_leading_zeros(column):
        return _number(column, numbers, notes)
    if date_format := find_date_format(column):
        return _date(column, date_format, notes)
    if numbers:
        notes = (*notes, "is text that looks like numbers, with zeros in front")
    return _category(column, notes, most)


def is_boolean(column: Column) -> bool:
    """Whether the column says yes or no."""
    said = {text.casefold() for text in column.texts}
    return (
        len(column.texts) == len(said) == 2  # noqa: PLR2004 - yes and no
        and len(said & _TRUE) == len(said & _FALSE) == 1
    )


def find_date_format(column: Column) -> str:
    """Return how all cells write dates; empty if they are none or it is ambiguous."""
    texts = column.texts
    if all(_YEAR.fullmatch(text) for text in texts):
        return "iso" if all(_is_read(text[:10], "%Y-%m-%d") for text in texts) else ""
    fitting = [form for form in _FORMATS if all(_is_read(text, form) for text in texts)]
    return fitting[0] if len(fitting) == 1 else ""


def range_with_room(low: float, high: float, *, whole: bool) -> list[float] | list[int]:
    """Widen a range to round bounds, so that tomorrow's values fit in too."""
    if not whole and low >= 0 and 0.5 < high <= 1:  # noqa: PLR2004 - shares
        return [0, 1]
    span = (high - low) or max(1.0, abs(high))
    step = 10.0 ** math.floor(math.log10(span)) * 0.5
    room = span / 2
    lower = 0.0 if 0 <= low < 2 * span else math.floor((low - room) / step) * step
    upper = 0.0 if high <= 0 and -high < 2 * span else math.ceil((high + room) / step) * step
    if whole:
        return [math.floor(lower), math.ceil(upper)]
    return [float(f"{lower:.6g}"), float(f"{upper:.6g}")]


def _number(column: Column, numbers: Range, notes: tuple[str, ...]) -> Drafted:
    named = _is_named_as_identifier(column.name)
    if numbers.whole:
        consecutive = numbers.high - numbers.low < 1.05 * column.given
        share = _MANY_SHARE if named else _UNIQUE_SHARE if consecutive else 1
        if column.given >= _FEW and numbers.distinct > share * column.given:
            return Drafted(column, notes=(IDENTIFIES,))
        if max(-numbers.low, numbers.high) > 2**50:
            return Drafted(column, notes=("has numbers too long to be more than identifiers",))
        if named:
            notes = (*notes, "has the name of an identifier: are its numbers quantities?")
    if column.odd_texts:
        shown = ", ".join(repr(text) for text in column.odd_texts)
        notes = (*notes, f"is numbers, but some rows have {shown}, taken for missing")
    kind = "integer" if numbers.whole else "number"
    bounds = range_with_room(numbers.low, numbers.high, whole=numbers.whole)
    example = round(numbers.median) if numbers.whole else float(f"{numbers.median:.4g}")
    example = min(max(example, bounds[0]), bounds[1])
    fields = {"kind": kind, "range": bounds, "example": example}
    return Drafted(column, fields, notes, column.odd_texts)


def _date(column: Column, date_format: str, notes: tuple[str, ...]) -> Drafted:
    python = "%Y-%m-%d" if date_format == "iso" else date_format
    cell = f"left({column.cell}, 10)" if date_format == "iso" else column.cell
    known = f"try_strptime({cell}, {literal(python)})::DATE"
    [(first, last, unread)] = column.aggregate(
        f"min({known}), max({known}), count(*) FILTER ({known} IS NULL)"
    )
    if unread:
        return _category(column, notes, 0)
    texts = (text[:10] if date_format == "iso" else text for text in column.texts)
    days = sorted(
        day
        for text, count in zip(texts, column.texts.values(), strict=True)
        for day in [datetime.strptime(text, python).date()] * min(count, 100)  # noqa: DTZ007 - a day has no zone
    )
    years = max(1, (last.year - first.year) // 2)
    low = first.replace(year=max(1, first.year - years), month=1, day=1)
    high = last.replace(year=min(9999, last.year + years + 10), month=12, day=31)
    fields: dict[str, Any] = {"kind": "date", "range": [low.isoformat(), high.isoformat()]}
    if date_format != "iso":
        fields["format"] = date_format
    fields["example"] = days[len(days) // 2].isoformat()
    return Drafted(column, fields, notes)


def _category(column: Column, notes: tuple[str, ...], most: int) -> Drafted:
    texts, distinct = column.texts, column.distinct
    too_many = distinct > MOST_VALUES or column.sampled
    if too_many or (distinct > _FEW and distinct > _MANY_SHARE * column.given):
        return Drafted(column, notes=(_why_no_category(column),))
    if all(map(_SIGNED.fullmatch, texts)):
        notes = (*notes, "is numbers with signs around them, taken for a category")
    frequent = [text for text, rows in texts.items() if rows >= _RARE_ROWS][:most]
    listed = sorted(texts if distinct <= _FEW else frequent, key=str.casefold)
    if not listed:
        return Drafted(column, notes=("identifies few rows: each value is rare",))
    rare = distinct - len(listed)
    raw = _labels(listed)
    fields: dict[str, Any] = {"kind": "category", "values": [*raw.values()]}
    if distinct > _FEW:
        fields["other"] = next(n for n in ("other", "others", "any other") if n not in raw.values())
        fields["values"].append(fields["other"])
        if rare:
            notes = (*notes, f"counts its {rare:,} rarest values as {fields['other']!r}")
    if any(text != label for text, label in raw.items()):
        fields["raw_values"] = raw
    fields["example"] = raw[next(text for text in texts if text in raw)]
    return Drafted(column, fields, notes)


def _why_no_category(column: Column) -> str:
    texts = column.texts
    if all(map(_SIGNED.fullmatch, texts)):
        return "is numbers with signs around them: write plain numbers"
    if sum(looks_like_number(text) for text in texts) > _MOSTLY * len(texts):
        return "is mostly numbers, but too many rows have other texts"
    if column.distinct <= _MANY_SHARE * column.given:
        return f"has too many values for a category: {column.distinct:,}"
    is_long = sum(map(len, texts)) / len(texts) > _SENTENCE
    return "is free text" if is_long else IDENTIFIES


def _labels(texts: list[str]) -> dict[str, str]:
    """Give each raw value a label; XGBoost allows no brackets in the names of columns."""
    labels: dict[str, str] = {}
    for text in texts:
        label = text.replace("[", "(").replace("]", ")").replace("<", "under ").strip()
        while label in labels.values():
            label += "'"
        labels[text] = label
    return labels


def _is_named_as_identifier(name: str) -> bool:
    words = words_of(name)
    return bool(words) and (
        words[-1] in _IDENTIFIERS or words[0] == "id" or name.casefold().endswith(("num", "uuid"))
    )


def _has_leading_zeros(column: Column) -> bool:
    return any(re.fullmatch(r"0[0-9]+", text) for text in column.texts)


def _is_read(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return False
    return True
