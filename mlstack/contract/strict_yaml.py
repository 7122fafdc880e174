"""YAML files that people edit, read strictly: a mistake is an error with file, line and reason."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.errors import FileError

Location = tuple[str | int, ...]
"""Keys and positions that lead from a document's root to a node."""


class StrictModel(BaseModel):
    """What a file may hold: nothing unknown, nothing converted, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FaultAt(ValueError):
    """A fault that a check across several nodes found at one of them.

    Args:
        location: The node.
        reason: What is wrong, as a sentence.
    """

    def __init__(self, location: Location, reason: str) -> None:
        self.location = location
        super().__init__(reason)


# YAML 1.1 also knows octal (010), base 60 (2:00), hexadecimal and binary numbers and 1_000.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?")

_Model = TypeVar("_Model", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Takes no alias: what stands in a file is what it says, and nothing contains itself."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(
                problem="an alias is not taken: write it out", problem_mark=mark
            )
        return super().compose_node(parent, index)


class YamlFile:
    """A parsed file that still knows the line of each of its nodes.

    Args:
        text: The file's text.
        path: Named in errors.
        error: What a fault is raised as.

    Raises:
        FileError: it is no YAML, a key is no text, or one appears twice; raised as `error`.
    """

    def __init__(self, text: str, path: Path | str, error: type[FileError]) -> None:
        self._path, self._error = path, error
        self._lines: dict[Location, int] = {}
        self._document = self._parse(text)

    @classmethod
    def read(cls, path: Path, error: type[FileError]) -> Self:
        """Reads a file.

        Raises:
            FileError: as the class, and when the file cannot be read.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as fault:
            raise error(path, None, f"cannot be read: {fault}") from fault
        return cls(text, path, error)

    def validate(self, model: type[_Model], tags: Collection[str] = ()) -> _Model:
        """Turns the document into a model.

        Args:
            model: What the file may hold.
            tags: Values of discriminators, which pydantic names among the keys.

        Raises:
            FileError: the document is no such model; carries its first fault.
        """
        try:
            return model.model_validate(self._document)
        except ValidationError as error:
            # A misspelt key is both unknown and missing: only the first is the mistake.
            fault = min(error.errors(), key=lambda fault: fault["type"] == "missing")
            cause = fault.get("ctx", {}).get("error")
            at = cause.location if isinstance(cause, FaultAt) else fault["loc"]
            location = tuple(part for part in at if part not in tags)
            if fault["type"].startswith("union_tag"):
                location = (*location, "kind")
            raise self.fault(location, fault["msg"].removeprefix("Value error, ")) from error

    def fault(self, location: Location, reason: str) -> FileError:
        """A fault at a node, or at the nearest one above it that is there."""
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
            raise self._error(self._path, line, f"is no YAML: {error.problem}") from error
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            reason = f"is no YAML: character {chr(error.character)!r} is not allowed"
            raise self._error(self._path, line, reason) from error
        except yaml.YAMLError as error:
            raise self._error(self._path, None, f"is no YAML: {error}") from error
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
                    raise self._error(self._path, line, "a key is no text")
                if key in mapping:
                    raise self._error(self._path, line, f"key {key!r} appears twice")
                mapping[key] = self._build(loader, value_node, (*location, key))
                self._lines[*location, key] = line
            return mapping
        try:
            value = loader.construct_object(node)
        except ValueError as error:
            # `2020-13-45` is taken for a date, and `!!int abc` for a number.
            raise self.fault(location, f"{node.value!r} cannot be read: {error}") from error
        if isinstance(value, int | float) and not isinstance(value, bool):
            written = _DECIMAL.fullmatch(node.value) or node.value.lstrip("+-.").isalpha()
            if not written:
                reason = f"{node.value!r} would be read as {value}: write it as a decimal number"
                raise self.fault(location, reason)
        return value
