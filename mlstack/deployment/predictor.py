"""From a request to a kept prediction: the one way that every door of the system uses."""

from collections.abc import Sequence
from typing import Any, Protocol

from mlstack import failpoints
from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import Origin, Prediction

MAX_BATCH = 1000
"""Customers of one batch."""


class Keeps(Protocol):
    """Keeps predictions; `mlstack.prediction_log.prediction_log.PredictionLog` does."""

    def keep(
        self, predictions: Sequence[Prediction], contract: Contract, origins: Sequence[Origin]
    ) -> None:
        """Keeps them, all or none; they may be answered when this returns.

        Raises:
            SpoolError: they cannot be kept.
        """


class Predictor:
    """Validates, encodes, scores and logs customers with one model.

    Args:
        model: A verified model; its own contract decides what a customer is.
        log: Where predictions are kept.
    """

    def __init__(self, model: Model, log: Keeps) -> None:
        self.model, self._log = model, log
        self._validator = CustomerValidator(model.contract)

    def validate(self, request: Any) -> Customer:
        """Checks one customer (a parsed JSON value). Raises InvalidCustomer."""
        return self._validator.validate(request)

    def validate_batch(self, request: Any) -> list[Customer]:
        """Checks an array of 1 to `MAX_BATCH` customers. Raises InvalidCustomer."""
        return self._validator.validate_batch(request, most=MAX_BATCH)

    def predict(
        self,
        customers: Sequence[Customer],
        prediction_ids: Sequence[str],
        origins: Sequence[Origin],
    ) -> list[Prediction]:
        """Scores validated customers and keeps the predictions: they may be answered.

        Args:
            customers: As `validate` and `validate_batch` return them.
            prediction_ids: One for each of them.
            origins: One for each of them.

        Returns:
            The predictions, in the same order.

        Raises:
            SpoolError: they cannot be kept; nothing may be answered.
        """
        chances = self.model.score(customers)
        predictions = [
            Prediction(prediction_id, customer, chance, self.model.run_id)
            for prediction_id, customer, chance in zip(
                prediction_ids, customers, chances, strict=True
            )
        ]
        failpoints.reached("scored")
        if predictions:
            self._log.keep(predictions, self.model.contract, origins)
        failpoints.reached("appended")
        return predictions
