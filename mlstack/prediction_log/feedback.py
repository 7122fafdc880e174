"""Read outcomes that a client reports, and check them against the contract."""

import uuid
from functools import lru_cache
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.caller_key import CallerKey
from mlstack.contract.prediction_fields import PREDICTION_ID
from mlstack.contract.schema_validator import FieldRule, SchemaValidator
from mlstack.contract.target import Target
from mlstack.errors import InvalidFeedback
from mlstack.prediction_log.prediction import PREDICTION_ID_PATTERN, Outcome

MAX_FEEDBACK = 1000
"""Maximum number of outcomes per request."""


def feedback_schema(target: Target, key: CallerKey | None) -> dict[str, Any]:
    """Build the JSON schema (draft 2020-12) of one outcome.

    It names a prediction, or, by its key, the latest prediction of a customer.
    """
    schema: dict[str, Any] = {
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
            target.name: target.outcome_schema,
        },
    }
    if key is not None:
        schema["required"] = [target.name]
        schema["properties"][key.name] = {
            **key.json_schema(),
            "description": "Your key of the customer: the latest prediction made before counts.",
        }
        schema["oneOf"] = [{"required": [PREDICTION_ID]}, {"required": [key.name]}]
    return schema


def read_feedback(request: Any, contract: Contract) -> list[Outcome]:
    """Read one outcome or an array of 1 to `MAX_FEEDBACK`, all or none.

    `request` is a parsed JSON value whose strings are valid Unicode. Raises InvalidFeedback with
    every error, at most `MAX_ERRORS`.
    """
    validator = _validator(contract.target, contract.key)
    if isinstance(request, list):
        faults = validator.array_faults(request, MAX_FEEDBACK)
    else:
        faults = validator.faults(request)
    if faults:
        raise InvalidFeedback(faults)
    items = request if isinstance(request, list) else [request]
    return [_outcome(item, contract) for item in items]


def _outcome(item: dict[str, Any], contract: Contract) -> Outcome:
    value = contract.target.stored(item[contract.target.name])
    if contract.key is not None and contract.key.name in item:
        # It needs an id of its own, so that storing it again does not make another one.
        return Outcome(str(uuid.uuid4()), value, (contract.name, item[contract.key.name]))
    return Outcome(item[PREDICTION_ID], value)


@lru_cache(maxsize=8)  # compiling the schema takes longer than checking a request
def _validator(target: Target, key: CallerKey | None) -> SchemaValidator:
    who = f"{PREDICTION_ID} or {key.name}" if key else PREDICTION_ID
    return SchemaValidator(
        feedback_schema(target, key),
        {
            PREDICTION_ID: FieldRule(
                "the prediction_id of a response",
                lambda value: "wrong_format" if isinstance(value, str) else "wrong_type",
            ),
            target.name: FieldRule(target.wanted, target.fault_code),
            **({key.name: key.rule()} if key else {}),
        },
        item=f"{who} and {target.name}",
        items="outcomes",
        unknown="is not part of an outcome",
    )
