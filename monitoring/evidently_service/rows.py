"""Validate posted rows; report each rejected row with all of its errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.customer_schema import (
    Customer,
    CustomerValidator,
    customer_rules,
    customer_schema,
)
from mlstack.contract.prediction_fields import (
    DECISION,
    MORE,
    PREDICTION,
    PREDICTION_ID,
    PROBABILITIES,
    RUN_ID,
    TARGET,
)
from mlstack.contract.schema_validator import FieldRule, SchemaValidator
from mlstack.contract.target import (
    BinaryTarget,
    MulticlassTarget,
    Outcome,
    RegressionTarget,
    Target,
)
from mlstack.errors import MAX_ERRORS, FieldError, InvalidRequest
from mlstack.prediction_log.prediction import PREDICTION_ID_PATTERN
from mlstack.run_ids import RUN_ID_PATTERN

MAX_ROWS = 10_000
"""Maximum number of rows in a request."""


@dataclass(frozen=True, slots=True)
class Row:
    """A posted prediction.

    Args:
        customer: The validated features.
        prediction: Probability of the positive class, a number or a class.
        target: The outcome as it is stored; None if unknown.
        prediction_id: None if the sender has none; then duplicates cannot be recognised.
        run_id: The model's run; None if the sender does not name it.
        more: Further fields, as they are stored.
    """

    customer: Customer
    prediction: float | str
    target: Outcome | None = None
    prediction_id: str | None = None
    run_id: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rows:
    """A request's valid rows, the number of rejected ones, and their first errors."""

    accepted: list[Row]
    refused: int
    faults: tuple[FieldError, ...]


class RowReader:
    """Reads posted rows."""

    def __init__(self, contract: Contract) -> None:
        self._customers, self._target = CustomerValidator(contract), contract.target
        self._schema = SchemaValidator(
            row_schema(contract),
            {**customer_rules(contract), **_rules(contract.target)},
            item=f"features and {PREDICTION}",
            items="rows",
            unknown="is not a feature of this model",
        )

    def read(self, document: Any) -> Rows:
        """Read an array of rows; an invalid row does not affect the others.

        Every string in `document`, a parsed JSON value, must be valid Unicode. Raises
        InvalidRequest if it is not an array of at most `MAX_ROWS` entries.
        """
        if faults := self._schema.length_faults(document, 0, MAX_ROWS):
            raise InvalidRequest(faults)
        accepted, refused = list[Row](), 0
        faults_of_rows = list[FieldError]()
        for number, item in enumerate(document):
            if self._schema.is_valid(item):
                accepted.append(self._row(item))
                continue
            refused += 1
            if (room := MAX_ERRORS - len(faults_of_rows)) > 0:
                faults_of_rows += self._schema.faults(item, number)[:room]
        return Rows(accepted, refused, tuple(faults_of_rows))

    def _row(self, item: dict[str, Any]) -> Row:
        target = item.get(TARGET)
        return Row(
            customer=self._customers.customer(item),
            prediction=item[PREDICTION],
            target=None if target is None else self._target.stored(target),
            prediction_id=item.get(PREDICTION_ID),
            run_id=item.get(RUN_ID),
            more=item.get(MORE) or {},
        )


def row_schema(contract: Contract) -> dict[str, Any]:
    """Build the JSON schema (draft 2020-12) of a row: a customer and a prediction."""
    schema, target = customer_schema(contract), contract.target
    probabilities = isinstance(target, MulticlassTarget)
    return {
        **schema,
        "required": [*schema["required"], PREDICTION, *([MORE] if probabilities else [])],
        "properties": {
            **schema["properties"],
            PREDICTION: target.prediction_schema,
            TARGET: {"anyOf": [{"type": "null"}, _outcome_schema(target)]},
            MORE: _more_schema(target),
            PREDICTION_ID: {"type": ["string", "null"], "pattern": PREDICTION_ID_PATTERN},
            RUN_ID: {"type": ["string", "null"], "pattern": RUN_ID_PATTERN},
        },
    }


def _outcome_schema(target: Target) -> dict[str, Any]:
    if isinstance(target, BinaryTarget):
        return {"enum": [0, 1, False, True]}
    return target.outcome_schema


def _more_schema(target: Target) -> dict[str, Any]:
    if not isinstance(target, MulticlassTarget):
        decision = {DECISION: {"type": "boolean"}} if isinstance(target, BinaryTarget) else {}
        return {
            "type": ["object", "null"],
            "properties": decision,
            "additionalProperties": False,
        }
    count = len(target.classes)
    probability = {"type": "number", "minimum": 0, "maximum": 1}
    each = {"type": "array", "items": probability, "minItems": count, "maxItems": count}
    return {"type": "object", "required": [PROBABILITIES], "properties": {PROBABILITIES: each}}


def _rules(target: Target) -> dict[str, FieldRule]:
    match target:
        case BinaryTarget():
            prediction = "a number from 0 to 1, the probability of the positive class"
            outcome, more = "0, 1", f"an object with {DECISION}, true or false"
        case RegressionTarget():
            prediction, outcome, more = "a number", target.wanted, "an object without fields"
        case MulticlassTarget():
            prediction = outcome = target.wanted
            more = f"{PROBABILITIES} of all classes"
    return {
        PREDICTION: FieldRule(prediction, lambda _: "out_of_range"),
        TARGET: FieldRule(f"{outcome}, or null while it is unknown", lambda _: "out_of_range"),
        MORE: FieldRule(more, lambda _: "out_of_range"),
        PREDICTION_ID: FieldRule("a prediction_id that was answered", lambda _: "wrong_format"),
        RUN_ID: FieldRule("the id of an MLflow run", lambda _: "wrong_format"),
    }
