"""What a model said of a customer, and what became of the customer."""

import uuid
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

from mlstack.contract.customer_schema import Customer

Source = Literal["api", "kinesis"]
"""Through which door a prediction came."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one customer.

    Args:
        prediction_id: Names the prediction for good.
        customer: The validated features.
        chance: Probability of the positive class.
        run_id: The model's MLflow run.
    """

    prediction_id: str
    customer: Customer
    chance: float
    run_id: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a prediction was asked for.

    Args:
        source: The door.
        shard_id: Of a stream's record: its shard.
        sequence_number: Of a stream's record: its number in the shard.
    """

    source: Source
    shard_id: str | None = None
    sequence_number: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a customer.

    Args:
        prediction_id: The prediction that it is the outcome of.
        positive: Whether it was the positive class.
    """

    prediction_id: str
    positive: bool


def is_prediction_id(value: Any) -> TypeGuard[str]:
    """Whether a value of a JSON document is the name of a prediction: a UUID as it is written."""
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False
