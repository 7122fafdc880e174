"""Errors that users can fix, and how to quote the input that caused them.

An entry point prints an `MlstackError` as one sentence and exits with 1. Any other exception is a
defect and keeps its stack trace.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

MAX_ERRORS = 20
"""Maximum number of errors reported for one request."""

MAX_ECHO = 64
"""Maximum number of request characters quoted in an error."""

_MAX_LISTED, _FEW_LISTED = 20, 10
"""A list of up to twenty items is shown in full; a longer one is cut to ten."""

FIRST_BAD_ROWS = 5
"""Number of bad rows of a table quoted in an error."""


class MlstackError(Exception):
    """Base of all errors that a user can fix."""


class SettingsError(MlstackError):
    """A setting is missing or has no usable value."""


class InvalidSettings(SettingsError):
    """Settings have no usable value; `faults` are sentences by variable."""

    def __init__(self, faults: dict[str, str]) -> None:
        self.faults = faults
        super().__init__(f"settings: {'; '.join(faults.values())}")


class FileError(MlstackError):
    """A file that users edit is invalid.

    `line` is the 1-based line of the error, or None if it concerns the whole file.
    """

    def __init__(self, path: Path | str, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = str(path), line, reason
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {reason}")


class ContractError(FileError):
    """A dataset contract is invalid."""


class DriftError(FileError):
    """A drift file is invalid, or has no drift of the given name."""


@dataclass(frozen=True, slots=True)
class DataFault:
    """One error in a raw table.

    Args:
        reason: What is wrong, as a sentence.
        column: The raw column; None means the whole table.
        rows: The first bad rows as (number, value).
        count: Number of bad rows.
        unit: What the numbers count from 1: lines of the file, or rows without the header.
    """

    reason: str
    column: str | None = None
    rows: tuple[tuple[int, str], ...] = ()
    count: int = 0
    unit: Literal["row", "line"] = "row"

    def __str__(self) -> str:
        text = f"column {echo(self.column)}: {self.reason}" if self.column else self.reason
        if not self.rows:
            return text
        shown = ", ".join(f"{self.unit} {row}: {value[:MAX_ECHO]!r}" for row, value in self.rows)
        more = ", ..." if self.count > len(self.rows) else ""
        return f"{text} ({self.count} bad rows; {shown}{more})"


class DataError(MlstackError):
    """Raw data does not match the contract, so training does not start.

    `origin` names the table if there may be several.
    """

    def __init__(self, *faults: DataFault, origin: str = "") -> None:
        self.faults = faults
        shown = [str(fault) for fault in faults[:MAX_ERRORS]]
        if len(faults) > MAX_ERRORS:
            shown.append(f"... ({len(faults):,} errors in all)")
        super().__init__((f"{origin} cannot be used: " if origin else "") + "\n".join(shown))


class FeatureStoreError(MlstackError):
    """The feature store cannot be reached, or does not have the table."""


class StoreUnreachable(FeatureStoreError):
    """The feature store does not answer; a retry may succeed."""


class ModelError(MlstackError):
    """A model is unknown, incomplete, modified, or gives a wrong result."""


class ModelNotConverted(ModelError):
    """A model of an earlier release has no ONNX form yet."""


class RegistryUnavailable(ModelError):
    """MLflow cannot be reached; a retry may succeed."""


class ModelNotKept(ModelError):
    """This machine cannot store or test a model now; the model may be fine."""


class NoReference(MlstackError):
    """There are no training rows to compare with."""


class TooFewRows(MlstackError):
    """There are too few rows for a comparison."""


class DeploymentError(MlstackError):
    """A deployment was rejected or rolled back."""


class RecordUnavailable(DeploymentError):
    """The record that machines share cannot be read or written now; a retry may succeed."""


class Overtaken(DeploymentError):
    """Another deployment has replaced the record that machines share."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One error in one field of a request.

    Args:
        pointer: JSON pointer (RFC 6901) to the field, from the request's root.
        code: Stable code of the error: `missing`, `unknown_field`, `wrong_type`, `out_of_range`,
            `unknown_category`, `wrong_format`, `too_few`, `too_many`.
        detail: What is wrong and what is allowed, as a sentence.
    """

    pointer: str
    code: str
    detail: str

    def document(self) -> dict[str, str]:
        """Return it for an answer in JSON."""
        # A flood of bad requests makes many: `dataclasses.asdict` takes ten times as long.
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


class InvalidRequest(MlstackError):
    """A request does not match the contract; has one to `MAX_ERRORS` errors."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors))


class InvalidCustomer(InvalidRequest):
    """The request body is not a valid customer."""


class InvalidFeedback(InvalidRequest):
    """The request body is not a valid outcome."""


def echo(value: Any) -> str:
    """Format a request value for an error, shortened to `MAX_ECHO`."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict | list):
        return json_kind(value)
    # Cut first, so that a text of megabytes is not copied.
    return shortened(repr(value[: MAX_ECHO + 1]) if isinstance(value, str) else str(value))


def listing(items: Collection[object]) -> str:
    """Join items for a sentence; of a long list the first items, and how many there are."""
    few = items if len(items) <= _MAX_LISTED else islice(items, _FEW_LISTED)
    text = ", ".join(shortened(str(item)) for item in few)
    return text if len(items) <= _MAX_LISTED else f"{text}, ... ({len(items):,} in all)"


def shortened(text: str, limit: int = MAX_ECHO) -> str:
    """Cut a text to a length."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def json_kind(value: Any) -> str:
    """Name the type of a JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"


def json_pointer(path: Sequence[str | int]) -> str:
    """Build a JSON pointer (RFC 6901); long parts are truncated."""
    parts = (str(part)[:MAX_ECHO].replace("~", "~0").replace("/", "~1") for part in path)
    return "".join(f"/{part}" for part in parts)
