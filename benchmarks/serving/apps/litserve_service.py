"""LitServe with a typed customer, or a list of them; it keeps nothing."""

import os
from collections.abc import Sequence

import litserve
from pydantic import BaseModel

from benchmarks.serving.apps.model import Customer, Model


class Churn(litserve.LitAPI):  # type: ignore[misc] # it has no types here
    """Predicts one customer a request, or a list of them."""

    def setup(self, _: str) -> None:
        """Load the model into a worker."""
        self._model = Model()

    # LitServe validates by this annotation.
    def decode_request(self, request: Customer | list[Customer]) -> Sequence[BaseModel]:  # type: ignore[valid-type] # made at run time
        """Return the customers of a request."""
        return request if isinstance(request, list) else [request]

    def predict(self, customers: Sequence[BaseModel]) -> list[float]:
        """Predict the customers."""
        return self._model.predict(customers)

    def encode_response(self, predictions: list[float]) -> dict[str, list[float]]:
        """Write the predictions."""
        return {"predictions": predictions}


if __name__ == "__main__":
    server = litserve.LitServer(Churn(), accelerator="cpu", workers_per_device=2)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        generate_client_file=False,
        log_level="warning",
    )
