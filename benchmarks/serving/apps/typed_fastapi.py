"""FastAPI with a typed customer; it predicts and keeps nothing."""

from fastapi import FastAPI

from benchmarks.serving.apps.model import Customer, Model

app = FastAPI()
_model = Model()


# Not in FastAPI's threads: a prediction takes less time than the change to one.
@app.post("/predict")
async def predict(customer: Customer) -> dict[str, float]:  # type: ignore[valid-type] # made at run time
    """Predict one customer."""
    return {"prediction": _model.predict([customer])[0]}


@app.post("/predict/batch")
async def predict_batch(customers: list[Customer]) -> list[dict[str, float]]:  # type: ignore[valid-type] # as above
    """Predict customers."""
    return [{"prediction": each} for each in _model.predict(customers)]
