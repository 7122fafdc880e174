"""From a request to a prediction: the one way that every door of the system uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlstack.customer_schema import Customer, CustomerValidator
from mlstack.model import Model

MAX_BATCH = 1000
"""Customers of one batch."""


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


class Predictor:
    """Validates, encodes and scores customers with one model.

    Args:
        model: A verified model; its own contract decides what a customer is.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._validator = CustomerValidator(model.contract)

    def validate(self, request: Any) -> Customer:
        """Checks one customer (a parsed JSON value). Raises InvalidCustomer."""
        return self._validator.validate(request)

    def validate_batch(self, request: Any) -> list[Customer]:
        """Checks an array of 1 to `MAX_BATCH` customers. Raises InvalidCustomer."""
        return self._validator.validate_batch(request, most=MAX_BATCH)

    def predict(
        self, customers: Sequence[Customer], prediction_ids: Sequence[str]
    ) -> list[Prediction]:
        """Scores validated customers.

        Args:
            customers: As `validate` and `validate_batch` return them.
            prediction_ids: One for each of them.

        Returns:
            The predictions, in the same order.
        """
        chances = self.model.score(customers)
        return [
            Prediction(prediction_id, customer, chance, self.model.run_id)
            for prediction_id, customer, chance in zip(
                prediction_ids, customers, chances, strict=True
            )
        ]
