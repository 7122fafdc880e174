"""Read YAML strictly: every mistake is an error with file, line and reason."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.errors import FileError

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


# YAML 1.1 also reads 010 (octal), 2:00 (base 60), 0x78, 0b1 and 1_000 as numbers.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?")

_Model = TypeVar("_Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Rejects aliases, so that no node can contain itself."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="aliases are not allowed: write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)


class YamlFile:
    """A parsed file that knows the line of each node.

    Raises `error`, a FileError that names `path`, if the text is not YAML, a key is not a string,
    or a key appears twice.
    """

    def __init__(self, text: str, path: Path | str, error: type[FileError]) -> None:
        self._path, self._error = path, error
        self._lines: dict[Location, int] = {}
        self._document = self._parse(text)

    @classmethod
    def read(cls, path: Path, error: type[FileError]) -> Self:
        """Read a file. Raises FileError as the class, or if it cannot be read."""
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise error(path, None, f"cannot be read: {fault}") from fault
        return cls(text, path, error)

    def validate(self, model: type[_Model], tags: Collection[str] = ()) -> _Model:
        """Convert the document to a model, or raise FileError with the first error.

        `tags` are union members and discriminator values, which pydantic puts among the keys.
        """
        try:
            return model.model_validate(self._document)
        except ValidationError as error:
            # A misspelt key is both unknown and missing; report it as unknown.
            fault = min(error.errors(), key=lambda fault: fault["type"] == "missing")
            cause = fault.get("ctx", {}).get("error")
            at = cause.location if isinstance(cause, FaultAt) else fault["loc"]
            location = tuple(part for part in at if part not in tags)
            if fault["type"].startswith("union_tag"):
                location = (*location, "kind")
            raise self.fault(location, fault["msg"].removeprefix("Value error, ")) from error

    def fault(self, location: Location, reason: str) -> FileError:
        """Build an error for a node, with its line or that of its nearest parent."""
        where = ".".join(map(str, location))
        while location and location not in self._lines:
            location = location[:-1]
        return self._error(
            self._path, self._lines.get(location), f"{where}: {reason}" if where else reason
        )

    def _parse(self, text: str) -> Any:
        loader = None
        try:
            loader = _Loader(text)
            root = loader.get_single_node()
            return None if root is None else self._build(loader, root, ())
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise self._error(self._path, line, f"is not YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            reason = f"is not YAML: character {chr(error.character)!r} is not allowed"
            raise self._error(self._path, line, reason) from error
        except yaml.YAMLError as error:
            raise self._error(self._path, None, f"is not YAML: {error}") from error
        except RecursionError as error:
            raise self._error(self._path, None, "is nested too deeply") from error
        finally:
            if loader is not None:
                loader.dispose()

    def _build(self, loader: yaml.SafeLoader, node: yaml.Node, location: Location) -> Any:
        self._lines[location] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self._build(loader, item, (*location, i)) for i, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            mapping = {}
            for key_node, value_node in node.value:
                line, key = key_node.start_mark.line + 1, key_node.value
                if not isinstance(key, str):
                    raise self._error(self._path, line, "a key is not a string")
                if key in mapping:
                    raise self._error(self._path, line, f"key {key!r} appears twice")
                mapping[key] = self._build(loader, value_node, (*location, key))
                self._lines[*location, key] = line
            return mapping
        try:
            value = loader.construct_object(node)
        except ValueError as error:
            # YAML reads `2020-13-45` as a date and `!!int abc` as a number.
            raise self.fault(location, f"{node.value!r} cannot be read: {error}") from error
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = _DECIMAL.fullmatch(node.value) or node.value.lstrip("+-.").isalpha()
            if not written:
                reason = f"{node.value!r} would be read as {value}: write it as a decimal number"
                raise self.fault(location, reason)
        return value
