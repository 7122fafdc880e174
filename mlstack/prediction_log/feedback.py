"""What became of customers, as a client reports it; checked by the contract."""

from collections.abc import Mapping
from typing import Any

from mlstack.contract import Contract
from mlstack.errors import MAX_ERRORS, FieldError, InvalidFeedback, echo, json_kind, json_pointer
from mlstack.prediction_log.prediction import Outcome, is_prediction_id

MAX_FEEDBACK = 1000
"""Outcomes of one request."""

PREDICTION_ID = "prediction_id"


def feedback_schema(contract: Contract) -> dict[str, Any]:
    """JSON schema (draft 2020-12) of one outcome."""
    target = contract.target
    return {
        "type": "object",
        "title": "outcome",
        "additionalProperties": False,
        "required": [PREDICTION_ID, target.name],
        "properties": {
            PREDICTION_ID: {
                "type": "string",
                "format": "uuid",
                "description": "As it was answered.",
            },
            target.name: {"type": "boolean", "description": target.meaning},
        },
    }


def read_feedback(request: Any, contract: Contract) -> list[Outcome]:
    """Checks one outcome, or an array of 1 to `MAX_FEEDBACK`; all or nothing.

    Args:
        request: A parsed JSON value whose texts are all valid Unicode.
        contract: Names the outcome.

    Raises:
        InvalidFeedback: carries every fault, `MAX_ERRORS` at most.
    """
    if not isinstance(request, list):
        faults = _faults(request, [], contract)
        items = [request]
    elif not 1 <= len(request) <= MAX_FEEDBACK:
        code = "too_few" if not request else "too_many"
        detail = f"must have 1 to {MAX_FEEDBACK} outcomes, has {len(request)}"
        raise InvalidFeedback((FieldError("", code, detail),))
    else:
        faults = [f for i, item in enumerate(request) for f in _faults(item, [i], contract)]
        items = request
    if faults:
        raise InvalidFeedback(tuple(faults[:MAX_ERRORS]))
    return [Outcome(item[PREDICTION_ID], item[contract.target.name]) for item in items]


def _faults(item: Any, path: list[str | int], contract: Contract) -> list[FieldError]:
    name = contract.target.name
    if not isinstance(item, Mapping):
        detail = f"must be a JSON object with {PREDICTION_ID} and {name}, is {json_kind(item)}"
        return [FieldError(json_pointer(path), "wrong_type", detail)]
    faults = []

    def note(field: str, code: str, detail: str) -> None:
        faults.append(FieldError(json_pointer([*path, field]), code, detail))

    for field in item:
        if field not in (PREDICTION_ID, name):
            note(field, "unknown_field", f"is no part of an outcome: {echo(field)}")
    for field, wanted in (
        (PREDICTION_ID, "the prediction_id that was answered"),
        (name, "true or false"),
    ):
        if field not in item:
            note(field, "missing", f"is missing; must be {wanted}")
    if name in item and not isinstance(item[name], bool):
        note(name, "wrong_type", f"must be true or false; got {echo(item[name])}")
    given = item.get(PREDICTION_ID)
    if PREDICTION_ID in item and not is_prediction_id(given):
        code = "wrong_format" if isinstance(given, str) else "wrong_type"
        note(PREDICTION_ID, code, f"must be a prediction_id that was answered; got {echo(given)}")
    return faults
