"""FastAPI that stores and reports each prediction inside the request, as tutorials do it."""

import os
from typing import Any

import requests
from fastapi import FastAPI
from pymongo import MongoClient

from benchmarks.serving.apps.model import Customer, Model

app = FastAPI()
_model = Model()
_predictions = MongoClient[dict[str, Any]](os.environ["MONGO_URI"])["benchmark"]["predictions"]
_monitor = requests.Session()
_MONITOR_URL = os.environ["MONITOR_URL"]


# In FastAPI's threads, because both calls block.
@app.post("/predict")
def predict(customer: Customer) -> dict[str, float]:  # type: ignore[valid-type] # made at run time
    """Predict one customer, store the prediction, and tell the monitor."""
    prediction = _model.predict([customer])[0]
    row = customer.model_dump() | {"prediction": prediction}  # type: ignore[attr-defined] # as above
    _predictions.insert_one(dict(row))
    _monitor.post(_MONITOR_URL, json=[row], timeout=5).raise_for_status()
    return {"prediction": prediction}
