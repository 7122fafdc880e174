"""Read YAML strictly: every mistake is an error with file, line and reason."""

import math
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails
from yaml.constructor import SafeConstructor

from mlstack.contract.yaml_advice import (
    Plain,
    about_fault,
    about_syntax,
    has_comma,
    has_loose_quote,
    without_invisible_ends,
)
from mlstack.contract.yaml_loader import parse
from mlstack.errors import FileError, echo, shortened
from mlstack.pasted_text import decode

Location = tuple[str | int, ...]
"""Keys and positions from the document's root to a node."""


class StrictModel(BaseModel):
    """Base of file models: no unknown keys, no conversions, immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FaultAt(ValueError):
    """An error at a single node, found by a check across nodes."""

    def __init__(self, location: Location, reason: str) -> None:
        self.location = location
        super().__init__(reason)


# YAML 1.1 also reads 010 (octal), 2:00 (base 60), 0x78, 0b1 and 1_000 as numbers, and does not
# read 1e7 as one.
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")

_DATE = "tag:yaml.org,2002:timestamp"
_NUL = "\0"
"""YAML takes it as an escape, and no table, database or command line can hold it."""

_OFTEN_TEXT = frozenset({_DATE, "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"})
"""Types that no field has: dates, =, <<."""

_Model = TypeVar("_Model", bound=BaseModel)


class YamlFile:
    """A parsed file that knows the line of each node.

    Raises `error`, a FileError that names `path`, if the text is not YAML, a key is not a string,
    or a key appears twice.
    """

    def __init__(self, text: str, path: Path | str, error: type[FileError]) -> None:
        self._path, self._error = path, error
        self._lines: dict[Location, int] = {}
        self._plain: dict[Location, Plain] = {}
        self._reread: set[Location] = set()
        self._document = self._parse(text)

    @classmethod
    def read(cls, path: Path, error: type[FileError]) -> Self:
        """Read a file. Raises FileError as the class, or if it cannot be read."""
        try:
            content = path.read_bytes()
        except OSError as fault:
            raise error(path, None, f"cannot be read: {fault}") from fault
        try:
            text = decode(content)
        except UnicodeDecodeError as fault:
            line = content.count(b"\n", 0, fault.start) + 1
            raise error(path, line, "is not UTF-8: save the file in this encoding") from fault
        return cls(text, path, error)

    def validate(self, model: type[_Model], tags: Collection[str] = ()) -> _Model:
        """Convert the document to a model, or raise FileError with the first error.

        A value that YAML reads as another type is accepted if the field leaves only one reading:
        1e7 for a number, NO for a text.

        `tags` are union members and discriminator values, which pydantic puts among the keys.
        """
        while True:
            try:
                return model.model_validate(self._document)
            except ValidationError as error:
                faults = error.errors(include_url=False)
                reread = [self._read_again(f["type"], self._locate(f["loc"], tags)) for f in faults]
                if not any(reread):
                    raise self._first(faults, tags) from error

    def _first(self, faults: list[ErrorDetails], tags: Collection[str]) -> FileError:
        # A misspelt key is both unknown and missing; report it as unknown.
        fault = min(faults, key=lambda fault: (fault["type"] == "missing", not has_comma(fault)))
        cause = fault.get("ctx", {}).get("error")
        at = cause.location if isinstance(cause, FaultAt) else fault["loc"]
        location = self._locate(at, tags)
        if fault["type"].startswith("union_tag"):
            location = (*location, "kind")
        return self.fault(location, about_fault(fault, self._plain.get(location)))

    def _locate(self, at: Location, tags: Collection[str]) -> Location:
        """Return the place of a pydantic error in the document, without union members."""
        location: Location = ()
        node = self._document
        for part in at:
            if part in (node if isinstance(node, dict) else range(_length(node))):
                node = node[part]
            elif part in tags:
                continue
            location = (*location, part)
        return location

    def _read_again(self, kind: str, location: Location) -> bool:
        """Replace a value of the wrong type by the only other reading; return if there is one."""
        if not location or location in self._reread:
            return False
        parent = self._document
        for part in location[:-1]:
            parent = parent[part]
        last, plain = location[-1], self._plain.get(location)
        if isinstance(parent, dict) and last not in parent:
            return False
        if kind == "string_type" and plain is not None and plain.value is not None:
            parent[last] = plain.text
        elif kind in {"int_type", "float_type"} and (number := _number(parent[last])) is not None:
            if kind == "int_type" and not isinstance(number, int):
                return False
            parent[last] = number
        else:
            return False
        self._reread.add(location)
        return True

    def fault(self, location: Location, reason: str) -> FileError:
        """Build an error for a node, with its line or that of its nearest parent."""
        where = ".".join(shortened(str(part)) for part in location)
        while location and location not in self._lines:
            location = location[:-1]
        return self._error(
            self._path, self._lines.get(location), f"{where}: {reason}" if where else reason
        )

    def _parse(self, text: str) -> Any:
        try:
            loader, root = parse(text)
            return None if root is None else self._build(loader, root, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            lines = text.splitlines()
            near = "\n".join(lines[max(0, mark.line - 1) : mark.line + 1]) if mark else ""
            reason = f"is not YAML: {about_syntax(error.problem or '', near)}"
            raise self._error(self._path, mark.line + 1 if mark else None, reason) from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            reason = f"is not YAML: {_not_allowed(chr(error.character))}"
            raise self._error(self._path, line, reason) from error
        except yaml.YAMLError as error:
            raise self._error(self._path, None, f"is not YAML: {error}") from error
        except RecursionError as error:
            raise self._error(self._path, None, "is nested too deeply") from error

    def _build(self, loader: SafeConstructor, node: yaml.Node, location: Location) -> Any:
        self._lines[location] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*location, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, location)
        if isinstance(node, yaml.ScalarNode) and not node.style:
            return self._plain_value(loader, node, location)
        return self._value(loader, node, location)

    def _mapping(
        self, loader: SafeConstructor, node: yaml.MappingNode, location: Location
    ) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key, str):
                raise self._error(self._path, line, "a key is not a string")
            if not key_node.style:
                key = self._checked(key, line)
            if _NUL in key:
                raise self._error(self._path, line, _not_allowed(_NUL))
            if key in mapping:
                raise self._error(self._path, line, f"key {echo(key)} appears twice")
            mapping[key] = self._build(loader, value_node, (*location, key))
            self._lines[*location, key] = line
        return mapping

    def _plain_value(
        self, loader: SafeConstructor, node: yaml.ScalarNode, location: Location
    ) -> Any:
        """Read a value without quotes; dates and odd numbers stay text."""
        if node.tag in _OFTEN_TEXT:
            if node.tag == _DATE:
                self._plain[location] = Plain(node.value, _DATE)
            return node.value
        value = self._value(loader, node, location)
        if isinstance(value, str):
            return self._checked(value, node.start_mark.line + 1)
        self._plain[location] = Plain(node.value, value)
        if isinstance(value, bool) or value is None:
            return value
        is_decimal = _DECIMAL.fullmatch(node.value) or node.value.lstrip("+-.").isalpha()
        return value if is_decimal else node.value

    def _value(self, loader: SafeConstructor, node: yaml.Node, location: Location) -> Any:
        try:
            value = loader.construct_object(node)
        except ValueError as error:
            raise self.fault(location, f"{echo(node.value)} cannot be read: {error}") from error
        if isinstance(value, str) and _NUL in value:
            raise self.fault(location, _not_allowed(_NUL))
        return value

    def _checked(self, text: str, line: int) -> str:
        """Return a text that was written without quotes, without invisible ends."""
        text = without_invisible_ends(text)
        if has_loose_quote(text):
            reason = f"{echo(text)} has a typographic quote: write \" or '"
            raise self._error(self._path, line, reason)
        return text


def _not_allowed(character: str) -> str:
    return f"character {character!r} is not allowed"


def _length(node: Any) -> int:
    return len(node) if isinstance(node, list) else 0


def _number(value: Any) -> int | float | None:
    """Read a decimal number that YAML took for text, or a whole one with a decimal point."""
    if isinstance(value, str):
        text = without_invisible_ends(value).strip()
        if not _DECIMAL.fullmatch(text) or math.isinf(float(text)):
            return None
        value = float(text) if set(text) & set(".eE") else int(text)
    elif not isinstance(value, float) or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value
