"""BentoML with a typed customer; it keeps nothing."""

import bentoml

from benchmarks.serving.apps.model import Customer, Model


@bentoml.service(workers=2, logging={"access": {"enabled": False}})
class Churn:
    """Predicts customers."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api  # type: ignore[untyped-decorator] # it has no types here
    def predict(self, customer: Customer) -> float:  # type: ignore[valid-type] # made at run time
        """Predict one customer."""
        return self._model.predict([customer])[0]

    @bentoml.api  # type: ignore[untyped-decorator] # as above
    def predict_batch(self, customers: list[Customer]) -> list[float]:  # type: ignore[valid-type] # as above
        """Predict customers."""
        return self._model.predict(customers)
