"""Turn a request into a kept prediction, for both servers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from mlstack import failpoints
from mlstack.contract.customer_decoder import CustomerDecoder
from mlstack.contract.customer_schema import Customer, CustomerValidator, longest_customer
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import ModelCall, Origin, Prediction, PredictionSink

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
        self._decoder = CustomerDecoder(model.contract)
        self.longest_customer = longest_customer(model.contract)
        """Bytes that the longest customers take as JSON."""

    def validate(self, request: Any) -> Customer:
        """Check one customer (a parsed JSON value). Raises InvalidCustomer."""
        return self._validator.validate(request)

    def validate_batch(self, request: Any) -> list[Customer]:
        """Check an array of 1 to `MAX_BATCH` customers. Raises InvalidCustomer."""
        return self._validator.validate_batch(request, most=MAX_BATCH)

    def decode(self, body: bytes) -> list[Customer] | None:
        """Decode and check one customer; None if `validate` has to look at it."""
        customer = self._decoder.decode(body)
        return None if customer is None else [customer]

    def decode_batch(self, body: bytes) -> list[Customer] | None:
        """Decode and check an array of customers; None if `validate_batch` has to look at it."""
        return self._decoder.decode_batch(body, MAX_BATCH)

    def score(
        self,
        customers: Sequence[Customer],
        prediction_ids: Sequence[str],
        origins: Sequence[Origin],
    ) -> list[Prediction]:
        """Score validated customers; the predictions may be returned once `keep` has kept them.

        There is one id and one origin per customer; the predictions have the same order.
        """
        scores = self.model.score(customers)
        call = ModelCall(self.model.run_id, self.model.contract, datetime.now(UTC))
        return [
            Prediction(prediction_id, customer, scored, origin, call)
            for prediction_id, customer, scored, origin in zip(
                prediction_ids, customers, scores, origins, strict=True
            )
        ]

    def keep(self, predictions: Sequence[Prediction]) -> None:
        """Keep predictions, all or none; raise SpoolError if none of them may be returned."""
        failpoints.reached("scored")
        if predictions:
            self._log.keep(predictions)
        failpoints.reached("appended")

    def predict(
        self,
        customers: Sequence[Customer],
        prediction_ids: Sequence[str],
        origins: Sequence[Origin],
    ) -> list[Prediction]:
        """Score customers and keep the predictions; see `score` and `keep`."""
        predictions = self.score(customers, prediction_ids, origins)
        self.keep(predictions)
        return predictions
