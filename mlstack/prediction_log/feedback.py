"""Read outcomes that a client reports, and check them against the contract."""

from functools import lru_cache
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION_ID
from mlstack.contract.schema_validator import FieldRule, SchemaValidator
from mlstack.contract.target import Target
from mlstack.errors import InvalidFeedback
from mlstack.prediction_log.prediction import PREDICTION_ID_PATTERN, Outcome

MAX_FEEDBACK = 1000
"""Maximum number of outcomes per request."""


def feedback_schema(target: Target) -> dict[str, Any]:
    """Build the JSON schema (draft 2020-12) of one outcome."""
    return {
        "type": "object",
        "title": "outcome",
        "additionalProperties": False,
        "required": [PREDICTION_ID, target.name],
        "properties": {
            PREDICTION_ID: {
                "type": "string",
                "format": "uuid",
                "pattern": PREDICTION_ID_PATTERN,
                "description": "As returned with the prediction.",
            },
            target.name: {"type": "boolean", "description": target.meaning},
        },
    }


def read_feedback(request: Any, contract: Contract) -> list[Outcome]:
    """Read one outcome or an array of 1 to `MAX_FEEDBACK`, all or none.

    `request` is a parsed JSON value whose strings are valid Unicode. Raises InvalidFeedback with
    every error, at most `MAX_ERRORS`.
    """
    validator = _validator(contract.target)
    if isinstance(request, list):
        faults = validator.array_faults(request, MAX_FEEDBACK)
    else:
        faults = validator.faults(request)
    if faults:
        raise InvalidFeedback(faults)
    items = request if isinstance(request, list) else [request]
    return [Outcome(item[PREDICTION_ID], item[contract.target.name]) for item in items]


@lru_cache(maxsize=8)  # compiling the schema takes longer than checking a request
def _validator(target: Target) -> SchemaValidator:
    return SchemaValidator(
        feedback_schema(target),
        {
            PREDICTION_ID: FieldRule(
                "the prediction_id of a response",
                lambda value: "wrong_format" if isinstance(value, str) else "wrong_type",
            ),
            target.name: FieldRule("true or false", lambda _: "wrong_type"),
        },
        item=f"{PREDICTION_ID} and {target.name}",
        items="outcomes",
        unknown="is not part of an outcome",
    )
