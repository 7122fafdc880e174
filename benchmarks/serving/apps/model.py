"""What a hand-written service has: a typed customer, and the model that predicts it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import xgboost
from pydantic import BaseModel, ConfigDict, Field, create_model

FOLDER = Path(os.environ["SERVING_FOLDER"])
"""Where the suite puts the model and the description of its features."""

_FEATURES: list[dict[str, Any]] = json.loads((FOLDER / "features.json").read_bytes())


def _field(feature: dict[str, Any]) -> Any:
    if "values" in feature:
        return Literal[tuple(feature["values"])]
    low, high = feature["range"]
    number = int if feature["whole"] else float
    return Annotated[number, Field(ge=low, le=high)]


_fields: Any = {feature["name"]: (_field(feature), ...) for feature in _FEATURES}
Customer: type[BaseModel] = create_model(
    "Customer",
    __config__=ConfigDict(extra="forbid"),
    **_fields,
)
"""A customer whose types, ranges and categories pydantic checks."""


class Model:
    """The booster, loaded once in each worker."""

    def __init__(self) -> None:
        self._booster = xgboost.Booster({"nthread": 1}, model_file=FOLDER / "model.ubj")

    def predict(self, customers: Sequence[BaseModel]) -> list[float]:
        """Predict validated customers."""
        matrix = np.array([_row(customer) for customer in customers], dtype=np.float32)
        scores: list[float] = self._booster.inplace_predict(matrix).tolist()
        return scores


def _row(customer: BaseModel) -> list[float]:
    row: list[float] = []
    for feature in _FEATURES:
        value = getattr(customer, feature["name"])
        if "values" in feature:
            row += [float(value == each) for each in feature["values"]]
        else:
            row.append(value)
    return row
