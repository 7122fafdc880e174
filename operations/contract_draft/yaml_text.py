"""Write a drafted contract as YAML that a person reads with pleasure: one feature a line."""

import json
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

_WIDTH = 100
_EXACT = 1e15
_GLUE = "\x00"
"""Stands for a space at which a line must not break."""
_PLAIN = re.compile(r"[A-Za-z0-9$(+][A-Za-z0-9 _.+/$%()=*^-]*")


def scalar(value: Any) -> str:
    """Write a value so that YAML reads the same one."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and not value.endswith(" ")
    if plain and yaml.safe_load(value) == value:
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def flow(fields: Mapping[str, Any], indent: int) -> str:
    """Write a mapping in braces, broken between its parts if it is longer than a line."""
    return _wrapped(_value(fields), indent)


def block(fields: Mapping[str, Any], indent: int = 2) -> list[str]:
    """Write a mapping with a line for each key."""
    margin = " " * indent
    return [
        margin + _wrapped(f"{scalar(key)}: {_value(value)}", indent)
        for key, value in fields.items()
    ]


def comments(notes: Iterable[str], indent: int = 2) -> list[str]:
    """Write sentences as comments."""
    margin = " " * indent + "# "
    return [
        line
        for note in notes
        for line in textwrap.wrap(note, _WIDTH, initial_indent=margin, subsequent_indent=margin)
    ]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(k)}: {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_value, value)) + "]"
    return scalar(value)


def _wrapped(text: str, indent: int) -> str:
    """Break a text between the parts of its lists, but nowhere inside quotes."""
    if len(text) + indent <= _WIDTH:
        return text
    glued = re.sub(r'"(?:[^"\\]|\\.)*"', lambda m: m[0].replace(" ", _GLUE), text)
    glued = re.sub(r"(?<!,) ", _GLUE, glued)
    margin = " " * (indent + 2)
    lines = textwrap.wrap(
        glued,
        _WIDTH - indent,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(_GLUE, " ")
