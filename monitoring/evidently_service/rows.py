"""Rows as they are posted: each is taken, or refused with all of its faults."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.data.customer_table import PREDICTION, TARGET
from mlstack.errors import (
    MAX_ERRORS,
    FieldError,
    InvalidCustomer,
    InvalidRequest,
    echo,
    json_kind,
    json_pointer,
)
from mlstack.prediction_log.prediction import is_prediction_id
from mlstack.prediction_log.prediction_store import PREDICTION_ID, RUN_ID
from mlstack.settings import is_run_id

MAX_ROWS = 10_000
"""Rows of one request."""


@dataclass(frozen=True, slots=True)
class Row:
    """A prediction that was made.

    Args:
        customer: The validated features.
        prediction: Chance of the positive class.
        target: 1 for the positive class, else 0; None: not known yet.
        prediction_id: None: the sender has none, and the row cannot be told from a repetition.
        run_id: Whose model said so; None: the sender does not say.
    """

    customer: Customer
    prediction: float
    target: int | None = None
    prediction_id: str | None = None
    run_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """What a request brought.

    Args:
        taken: Rows that fit the contract.
        refused: How many did not.
        faults: Theirs, `MAX_ERRORS` at most.
    """

    taken: list[Row]
    refused: int
    faults: tuple[FieldError, ...]


class RowReader:
    """Reads posted rows.

    Args:
        contract: What a customer is.
    """

    def __init__(self, contract: Contract) -> None:
        self._validator = CustomerValidator(contract)

    def read(self, document: Any) -> Rows:
        """Reads an array of rows; those that fit are taken even if others do not.

        Args:
            document: A parsed JSON value whose texts are all valid Unicode.

        Raises:
            InvalidRequest: it is no array of `MAX_ROWS` rows at most.
        """
        if not isinstance(document, list):
            detail = f"must be an array of rows, is {json_kind(document)}"
            raise InvalidRequest((FieldError("", "wrong_type", detail),))
        if len(document) > MAX_ROWS:
            detail = f"may have {MAX_ROWS} rows, has {len(document)}"
            raise InvalidRequest((FieldError("", "too_many", detail),))
        taken, refused = list[Row](), 0
        faults = list[FieldError]()
        for number, item in enumerate(document):
            row = self._read_row(item, number)
            if isinstance(row, Row):
                taken.append(row)
            else:
                refused += 1
                faults += row[: MAX_ERRORS - len(faults)]
        return Rows(taken, refused, tuple(faults))

    def _read_row(self, item: Any, number: int) -> Row | list[FieldError]:
        if not isinstance(item, Mapping):
            detail = f"must be an object with features and {PREDICTION}, is {json_kind(item)}"
            return [FieldError(json_pointer([number]), "wrong_type", detail)]
        features = {key: value for key, value in item.items() if key not in _OWN_NAMES}
        faults = [
            FieldError(json_pointer([number, field.name]), *fault)
            for field in _OWN_FIELDS
            if (fault := field.fault(item)) is not None
        ]
        try:
            customer = self._validator.validate(features)
        except InvalidCustomer as error:
            faults += [
                FieldError(f"{json_pointer([number])}{fault.pointer}", fault.code, fault.detail)
                for fault in error.errors
            ]
        if faults:
            return faults
        target = item.get(TARGET)
        return Row(
            customer=customer,
            prediction=float(item[PREDICTION]),
            target=None if target is None else int(target),
            prediction_id=item.get(PREDICTION_ID),
            run_id=item.get(RUN_ID),
        )


@dataclass(frozen=True, slots=True)
class _Field:
    """A field beside the features; all but the first may be null or absent."""

    name: str
    wanted: str
    fits: Callable[[Any], bool]
    code: str

    def fault(self, item: Mapping[str, Any]) -> tuple[str, str] | None:
        """What is wrong with it: code and detail."""
        value = item.get(self.name)
        if value is None and self.name != PREDICTION:
            return None
        if self.name not in item:
            return "missing", f"is missing; must be {self.wanted}"
        if self.fits(value):
            return None
        return self.code, f"must be {self.wanted}; got {echo(value)}"


def _is_chance(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value <= 1


def _is_outcome(value: Any) -> bool:
    # true is 1, and 1.0 is one as well.
    return isinstance(value, bool | int | float) and value in (0, 1)


_OWN_FIELDS = (
    _Field(
        PREDICTION,
        "a number from 0 to 1, the chance of the positive class",
        _is_chance,
        "out_of_range",
    ),
    _Field(TARGET, "0, 1, or null while it is not known", _is_outcome, "out_of_range"),
    _Field(PREDICTION_ID, "a prediction_id that was answered", is_prediction_id, "wrong_format"),
    _Field(RUN_ID, "the id of an MLflow run", is_run_id, "wrong_format"),
)
_OWN_NAMES = frozenset(field.name for field in _OWN_FIELDS)
