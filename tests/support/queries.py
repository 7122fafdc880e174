"""Record the queries that are sent to MongoDB, and say which index serves each."""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo.monitoring import CommandListener, CommandStartedEvent

from mlstack.settings import ROOT

FOLDERS = ("mlstack", "model_orchestration", "monitoring", "operations", "reporting", "server")
_CALLS = {
    *("aggregate", "count_documents", "distinct", "find", "find_one", "find_raw_batches"),
    *("bulk_write", "delete_many", "delete_one", "replace_one", "update_many", "update_one"),
}
_RANGES = {"$gt", "$gte", "$lt", "$lte"}

Index = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Query:
    """A query of the stack, and the function that made it."""

    place: str
    collection: str
    condition: Mapping[str, Any]
    sort: Mapping[str, int]
    limit: int

    def is_served_by(self, index: Index) -> bool:
        """Whether the query reads one range of the index and nothing else, in the wanted order.

        Conditions on fields outside the index are allowed where few documents are left for them:
        those of one id or of one caller's key.
        """
        fields = [name for name, _ in index]
        pinned = 0
        while pinned < len(fields) and _is_equality(self.condition.get(fields[pinned])):
            pinned += 1
        rest = fields[pinned:]
        ranged = [name for name in rest[:1] if _is_range(self.condition.get(name))]
        if not pinned and not ranged:
            return bool(self.sort) and self.limit > 0 and self._is_sorted_by(index, 0)
        few = {"_id", "_more.key"} & set(fields[:pinned])
        others = self.condition.keys() - {*fields[:pinned], *ranged}
        return (not others or bool(few)) and (not self.sort or self._is_sorted_by(index, pinned))

    def _is_sorted_by(self, index: Index, pinned: int) -> bool:
        wanted = list(self.sort.items())
        there = list(index[pinned : pinned + len(wanted)])
        return wanted in (there, [(name, -order) for name, order in there])


class QueryRecorder(CommandListener):
    """Collects the queries of all clients that get it as a listener."""

    def __init__(self) -> None:
        self.queries: list[Query] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Record a command."""
        name, command = event.command_name, event.command
        for condition in _conditions(name, command):
            self.queries.append(
                Query(
                    _caller(),
                    str(command[name]),
                    condition,
                    command.get("sort", {}),
                    command.get("limit", 0),
                )
            )

    def succeeded(self, event: object) -> None:
        """Do nothing."""

    def failed(self, event: object) -> None:
        """Do nothing."""


def places_of_queries() -> set[str]:
    """Return the functions of the stack that query MongoDB, found in the code."""
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
    return {place for path in files for place in _places(path)}


def _places(path: Path) -> Iterator[str]:
    text = path.read_text()
    if "mongo" not in text:
        return

    def walk(node: ast.AST, name: str) -> Iterator[str]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef):
                yield from walk(child, f"{name}.{child.name}")
            else:
                if (
                    isinstance(child, ast.Call)
                    and isinstance(child.func, ast.Attribute)
                    and child.func.attr in _CALLS
                ):
                    yield name
                yield from walk(child, name)

    yield from walk(ast.parse(text), ".".join(path.relative_to(ROOT).with_suffix("").parts))


def _conditions(name: str, command: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    match name:
        case "find":
            yield command.get("filter", {})
        case "aggregate":
            yield command["pipeline"][0].get("$match", {})
        case "update":
            yield from (each["q"] for each in command["updates"])
        case "delete":
            yield from (each["q"] for each in command["deletes"])


def _caller() -> str:
    """Return the innermost function of the stack, without the functions inside it."""
    frame = sys._getframe().f_back
    while frame:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            return f"{module}.{frame.f_code.co_qualname.split('.<locals>')[0]}"
        frame = frame.f_back
    return ""


def _is_equality(condition: Any) -> bool:
    if isinstance(condition, Mapping) and any(key.startswith("$") for key in condition):
        return condition.keys() <= {"$eq", "$in"}
    return condition is not None


def _is_range(condition: Any) -> bool:
    return isinstance(condition, Mapping) and bool(condition) and condition.keys() <= _RANGES
