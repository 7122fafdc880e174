"""Turns a request into a kept prediction; the HTTP and the stream server both use it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from mlstack import failpoints
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import Origin, Prediction, PredictionSink

MAX_BATCH = 1000
"""Most customers of one batch."""


class ModelSource(Protocol):
    """Has the model in use: `ModelWatcher`, or a double in tests."""

    @property
    def predictor(self) -> "Predictor | None":
        """In use. Read it once a request or batch, so that one model makes the whole answer."""

    @property
    def reason(self) -> str:
        """Why there is no predictor."""


class Predictor:
    """Validates, scores and keeps customers with one model.

    Args:
        model: A verified model; its contract decides what a customer is.
        log: Where predictions are kept.
    """

    def __init__(self, model: Model, log: PredictionSink) -> None:
        self.model, self._log = model, log
        self._validator = CustomerValidator(model.contract)

    def validate(self, request: Any) -> Customer:
        """Check one customer (a parsed JSON value). Raises InvalidCustomer."""
        return self._validator.validate(request)

    def validate_batch(self, request: Any) -> list[Customer]:
        """Check an array of 1 to `MAX_BATCH` customers. Raises InvalidCustomer."""
        return self._validator.validate_batch(request, most=MAX_BATCH)

    def predict(
        self,
        customers: Sequence[Customer],
        prediction_ids: Sequence[str],
        origins: Sequence[Origin],
    ) -> list[Prediction]:
        """Score validated customers and keep the predictions, so they may be answered.

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
        now = datetime.now(UTC)
        run_id, contract = self.model.run_id, self.model.contract
        predictions = [
            Prediction(prediction_id, customer, chance, run_id, contract, origin, now)
            for prediction_id, customer, chance, origin in zip(
                prediction_ids, customers, chances, origins, strict=True
            )
        ]
        failpoints.reached("scored")
        if predictions:
            self._log.keep(predictions)
        failpoints.reached("appended")
        return predictions
