"""Describe an answer, for any kind of target."""

from collections.abc import Mapping
from typing import Any

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import (
    DECISION,
    EXPLANATION,
    PREDICTION_ID,
    PROBABILITIES,
    RUN_ID,
)
from mlstack.contract.target import (
    BinaryTarget,
    MulticlassTarget,
    Outcome,
    RegressionTarget,
    Target,
)

_EXAMPLE_CHANCE = 0.5


def prediction_schema(contract: Contract, run_id: str, prediction_id: str) -> dict[str, Any]:
    """Build the schema of an answer, with an example."""
    target = contract.target
    example: dict[str, Any] = {
        contract.answer: _EXAMPLE_CHANCE
        if isinstance(target, BinaryTarget)
        else example_outcome(target)
    }
    properties = {contract.answer: target.prediction_schema}
    if isinstance(target, MulticlassTarget):
        probability = {"type": "number", "minimum": 0, "maximum": 1}
        properties[PROBABILITIES] = {
            **object_schema(dict.fromkeys(target.classes, probability)),
            "description": "Probability of each class.",
        }
        example[PROBABILITIES] = dict.fromkeys(target.classes, 1 / len(target.classes))
    if contract.threshold is not None:
        about = f"Whether the probability is at least {contract.threshold:g}."
        properties[DECISION] = {"type": "boolean", "description": about}
        example[DECISION] = contract.threshold <= _EXAMPLE_CHANCE
    properties |= {
        RUN_ID: {"type": "string", "description": "MLflow run of the model."},
        PREDICTION_ID: {"type": "string", "description": "Permanent id of this prediction."},
    }
    example |= {RUN_ID: run_id, PREDICTION_ID: prediction_id}
    schema = {**object_schema(properties), "example": example}
    # Only in an answer whose request asked for it.
    properties[EXPLANATION] = _explanation_schema(contract)
    if contract.key is not None:
        # Only in the answer to a customer who has one.
        properties[contract.key.name] = {"type": "string", "description": "Your key, as sent."}
    return schema


def _explanation_schema(contract: Contract) -> dict[str, Any]:
    target, number = contract.target, {"type": "number"}
    properties: dict[str, Any] = {
        "base": {**number, "description": "The margin before anything is known of the customer."},
        "contributions": {
            **object_schema({feature.name: number for feature in contract.model_features}),
            "description": "What each feature adds to the margin (exact SHAP values).",
        },
        "margin": {**number, "description": "Base and contributions add up to it."},
    }
    if isinstance(target, MulticlassTarget):
        about = "The predicted class, which is explained."
        label = {"type": "string", "enum": list(target.classes), "description": about}
        properties = {"class": label, **properties}
    about = f"With `explain=1`: why. The margin is {target.margin_meaning}."
    return {**object_schema(properties), "description": about}


def example_outcome(target: Target) -> Outcome:
    """Return an outcome that a customer may have."""
    match target:
        case BinaryTarget():
            return 1
        case RegressionTarget():
            return sum(target.range) / 2
        case MulticlassTarget():
            return target.classes[0]


def object_schema(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Build the schema of an object that has all of some properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}
