"""What can go wrong, each with the sentence a person needs to put it right.

A target's or service's entry point prints the sentence and exits with 1; anything that
is not an `MlstackError` is a defect and keeps its stack trace.
"""

from dataclasses import dataclass
from pathlib import Path


class MlstackError(Exception):
    """Base of every error that a person can put right."""


class SettingsError(MlstackError):
    """A setting is missing or has no usable value."""


class FileError(MlstackError):
    """A file that people edit breaks its rules.

    Args:
        path: The file.
        line: 1-based line of the fault; None when the whole file is at fault.
        reason: What is wrong, as a sentence.
    """

    def __init__(self, path: Path | str, line: int | None, reason: str) -> None:
        self.path, self.line, self.reason = str(path), line, reason
        where = f"{path}, line {line}" if line is not None else str(path)
        super().__init__(f"{where}: {reason}")


class ContractError(FileError):
    """A dataset contract breaks its own rules."""


class DriftError(FileError):
    """A file of drifts breaks its rules, or does not have what was asked for."""


@dataclass(frozen=True, slots=True)
class DataFault:
    """One fault of a raw table.

    Args:
        reason: What is wrong, as a sentence.
        column: The raw column at fault; None: the table as a whole.
        rows: The first bad rows as (1-based row without the header, value found).
        count: How many rows are bad in all.
    """

    reason: str
    column: str | None = None
    rows: tuple[tuple[int, str], ...] = ()
    count: int = 0

    def __str__(self) -> str:
        text = f"column {self.column!r}: {self.reason}" if self.column else self.reason
        if not self.rows:
            return text
        shown = ", ".join(f"row {row}: {value!r}" for row, value in self.rows)
        more = ", ..." if self.count > len(self.rows) else ""
        return f"{text} ({self.count} bad rows; {shown}{more})"


class DataError(MlstackError):
    """Raw data that does not fit the contract: training stops before it starts.

    Args:
        faults: Everything that is wrong with the table, at least one fault.
    """

    def __init__(self, *faults: DataFault) -> None:
        self.faults = faults
        super().__init__("\n".join(map(str, faults)))


class FeatureStoreError(MlstackError):
    """The feature store cannot be reached, or does not hold what was asked for."""


class ModelError(MlstackError):
    """A model is unknown, incomplete, changed on its way, or gives a wrong answer."""


class RegistryUnavailable(ModelError):
    """MLflow cannot be reached just now: the same call may go through later."""


class ModelNotKept(ModelError):
    """This machine cannot keep or try a model just now: nothing is known to be wrong with it."""


class NoReference(MlstackError):
    """There are no training rows to compare with."""


class TooFewRows(MlstackError):
    """There are too few rows to say anything."""


class DeploymentError(MlstackError):
    """A deployment was refused or taken back."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field of a request.

    Args:
        pointer: JSON pointer (RFC 6901) to the field, from the request's root.
        code: Stable name of the kind of fault: `missing`, `unknown_field`, `wrong_type`,
            `out_of_range`, `unknown_category`, `wrong_format`, `too_few`, `too_many`.
        detail: The fault as a sentence that says what is allowed.
    """

    pointer: str
    code: str
    detail: str


class InvalidRequest(MlstackError):
    """What a request carries does not fit the contract.

    Args:
        errors: Its faults, at least one; at most `customer_schema.MAX_ERRORS`.
    """

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors))


class InvalidCustomer(InvalidRequest):
    """A request's customer is none."""


class InvalidFeedback(InvalidRequest):
    """A request's outcome is none."""
