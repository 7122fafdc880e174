"""Read a file of settings (`NAME=value`) strictly: what is not understood is an error."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from mlstack.errors import SettingsError, echo
from mlstack.pasted_text import CLOSING_QUOTES, INVISIBLE, OPENING_QUOTES, decode

_QUOTES = OPENING_QUOTES + CLOSING_QUOTES

# Docker Compose also reads `.env`, by other rules. These lines and values mean the same to both.
_COMMON = re.compile(r"\w+=(?!\s)[\x20-\x7e]*\n?", re.ASCII)
_BARE = re.compile(r"[\w./:@%+,=-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A setting, or a comment if there is no name."""

    name: str
    value: str
    line: int
    text: str


class EnvFile:
    """The settings of a file. Raises SettingsError, with file and line, if it is not understood.

    `last_counts` allows a setting with two values, as in files that earlier releases wrote.
    """

    def __init__(self, path: Path, *, last_counts: bool = False) -> None:
        self._entries = list(_entries(path))
        self.values: dict[str, str] = {}
        self.lines: dict[str, int] = {}
        for entry in self._entries:
            if not entry.name:
                continue
            if not last_counts and self.values.get(entry.name, entry.value) != entry.value:
                raise SettingsError(
                    f"{path.name}: {entry.name} has one value in line {self.lines[entry.name]} and "
                    f"another in line {entry.line}: remove one of them"
                )
            self.values[entry.name], self.lines[entry.name] = entry.value, entry.line

    def rewritten(self, given: Mapping[str, str]) -> str:
        """Return the text with other values, as Docker Compose reads it too."""
        text = "".join(_rewritten(entry, given.get(entry.name)) for entry in self._entries)
        text += "" if text.endswith("\n") or not text else "\n"
        more = given.keys() - self.values.keys()
        return text + assignments({name: given[name] for name in more})


def assignments(values: Mapping[str, str]) -> str:
    """Write values as lines of `.env`, sorted by name."""
    return "".join(f"{name}={quoted(values[name])}\n" for name in sorted(values))


def quoted(value: str) -> str:
    """Quote a value for `.env`; Docker Compose does not expand single-quoted text."""
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _entries(path: Path) -> Iterator[_Entry]:
    for binding in parse_stream(StringIO(_text(path))):
        raw = binding.original.string
        line = binding.original.line + raw[: len(raw) - len(raw.lstrip())].count("\n")
        content = raw.strip()
        is_understood = not binding.error and "\n" not in (binding.value or "")
        if not is_understood or (binding.key is not None and binding.value is None):
            raise SettingsError(
                f"{path.name}, line {line}: {echo(content.splitlines()[0])} is not understood: "
                "write NAME=value, and close every quote"
            )
        if binding.key is None:
            yield _Entry("", "", line, raw)
        else:
            yield _Entry(binding.key.strip(INVISIBLE), _value(binding, content), line, raw)


def _value(binding: Binding, content: str) -> str:
    value = binding.value or ""
    written = content.partition("=")[2].strip()
    if written.startswith(("'", '"')):
        return value
    value = value.strip(f" \t{INVISIBLE}")
    is_quoted = len(value) > 1 and value[0] in _QUOTES and value[-1] in _QUOTES
    return value[1:-1] if is_quoted else value


def _rewritten(entry: _Entry, given: str | None) -> str:
    before = entry.text[: len(entry.text) - len(entry.text.lstrip("\n"))]
    if given is not None:
        return f"{before}{entry.name}={quoted(given)}\n"
    if not entry.name or _COMMON.fullmatch(entry.text.lstrip("\n")):
        return entry.text
    value = f'"{entry.value}"' if "$" in entry.value else quoted(entry.value)
    return f"{before}{entry.name}={value}\n"


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = decode(content)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            f"{path.name}, line {line}: is not UTF-8: save the file in this encoding"
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")
