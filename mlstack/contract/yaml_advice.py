"""Say what YAML made of a text, and how to write it instead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlstack.errors import echo, shortened
from mlstack.pasted_text import CLOSING_QUOTES, INVISIBLE, OPENING_QUOTES

_IN_QUOTES = "write a text with special characters in quotes"
_SHAPES = {
    "tuple_type": "write a list: [A, B]",
    "dict_type": "write a mapping: {A: B}",
    "model_type": "write name: value",
}


@dataclass(frozen=True, slots=True)
class Plain:
    """A text without quotes that YAML reads as something else.

    Args:
        text: What is written.
        value: What YAML makes of it.
    """

    text: str
    value: Any

    def __str__(self) -> str:
        match self.value:
            case None:
                read = "no value"
            case bool():
                read = str(self.value).lower()
            case int() | float():
                read = str(self.value)
            case _:
                read = "a date or time"
        return f"{echo(self.text)} would be read as {read}" if self.text else "it has no value"


def without_invisible_ends(text: str) -> str:
    """Remove spaces that nobody sees, which other programs put around a copied text."""
    return text.strip(INVISIBLE)


def has_loose_quote(text: str) -> bool:
    """Whether a text without quotes begins or ends with a typographic quote meant as one."""
    if not text:
        return False
    quotes = OPENING_QUOTES + CLOSING_QUOTES
    if text[0] in quotes:
        return text[-1] in quotes or not any(mark in text[1:] for mark in CLOSING_QUOTES)
    return text[-1] in CLOSING_QUOTES and not any(mark in text for mark in OPENING_QUOTES)


def about_syntax(problem: str, lines: str) -> str:
    """Explain a syntax error; `lines` are the text of the line and of the one before."""
    hint = ""
    if "'\\t'" in problem:
        hint = "indent with spaces, not with tabs"
    elif unseen := [mark for mark in lines if mark in INVISIBLE]:
        hint = f"the line has an invisible character (U+{ord(unseen[0]):04X}): type a space instead"
    elif any(mark in lines for mark in OPENING_QUOTES + CLOSING_QUOTES):
        hint = "the line has typographic quotes: write \" or '"
    elif "end of stream" in problem:
        hint = "a quote or bracket is not closed"
    elif "another document" in problem:
        hint = "a file has one document: remove the line ---"
    elif not problem.startswith(("aliases", "anchors")):
        hint = _IN_QUOTES
    return f"{problem}: {hint}" if hint else problem


def about_fault(fault: Mapping[str, Any], plain: Plain | None) -> str:
    """Explain a pydantic error; `plain` is what stands at its place, if YAML reads it otherwise."""
    kind, value = fault["type"], fault["input"]
    message = shortened(fault["msg"].removeprefix("Value error, "), 300)
    found = str(plain or "")
    if kind in {"int_type", "float_type"}:
        is_text = f"{echo(value)} is text" if isinstance(value, str) else ""
        hint, advice = found or is_text, "write it as a decimal number"
    elif kind == "string_type":
        container = "a mapping" if isinstance(value, dict) else "a list"
        container = "? as a mapping" if value == {"": None} else container
        other = f"YAML reads {container}" if isinstance(value, dict | list) else ""
        hint, advice = found or other, "write a text in quotes"
    elif kind in {"tuple_type", "dict_type", "model_type"}:
        hint, advice = found or f"got {echo(value)}", _SHAPES[kind]
    elif has_comma(fault):
        hint, advice = "decimal numbers have a point", "thousands have no separator"
    else:
        is_number = plain is not None and type(plain.value) in {int, float}
        hint, advice = "" if is_number else found, ""
    return message + (f"; {hint}" if hint else "") + (f": {advice}" if hint and advice else "")


def has_comma(fault: Mapping[str, Any]) -> bool:
    """Whether a number with a comma became two entries of a list or mapping."""
    value, at = fault["input"], fault["loc"]
    if fault["type"] == "too_long":
        return all(isinstance(item, int | float | str) for item in value)
    return fault["type"] == "extra_forbidden" and value is None and str(at[-1]).isdigit()
