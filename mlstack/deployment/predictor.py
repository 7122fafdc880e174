"""Turn a request into a kept prediction, for both servers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from mlstack import failpoints
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import Origin, Prediction, PredictionSink

MAX_BATCH = 1000
"""Maximum number of customers per batch."""


class ModelSource(Protocol):
    """Provides the model in use: `ModelWatcher`, or a test double."""

    @property
    def predictor(self) -> "Predictor | None":
        """The predictor in use.

        Read it once per request or batch, so that one model makes the whole response.
        """

    @property
    def reason(self) -> str:
        """Why there is no predictor."""


class Predictor:
    """Validates and scores customers by one model's contract, and keeps predictions."""

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
        """Score validated customers, and keep the predictions so they may be returned.

        There is one id and one origin per customer; the predictions have the same order. Raises
        SpoolError if they cannot be kept: none may be returned.
        """
        scores = self.model.score(customers)
        now = datetime.now(UTC)
        run_id, contract = self.model.run_id, self.model.contract
        predictions = [
            Prediction(prediction_id, customer, scored, run_id, contract, origin, now)
            for prediction_id, customer, scored, origin in zip(
                prediction_ids, customers, scores, origins, strict=True
            )
        ]
        failpoints.reached("scored")
        if predictions:
            self._log.keep(predictions)
        failpoints.reached("appended")
        return predictions
