"""The rows that models learn from, and trials: models with their metrics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import xgboost
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.model.encoder import Encoder, Matrix
from mlstack.model.target_columns import labels


class Rows(NamedTuple):
    """Encoded rows: matrix of shape (n_rows, n_columns), outcomes of shape (n_rows,).

    Outcomes are as `targets.labels` returns them.
    """

    matrix: Matrix
    outcomes: NDArray[Any]
    columns: tuple[str, ...] | None = None
    """Column names of the matrix, which a model stores."""

    @classmethod
    def encode(cls, rows: pd.DataFrame, contract: Contract) -> "Rows":
        """Encode clean rows with their target."""
        encoder = Encoder(contract)
        outcomes = labels(contract.target, rows[contract.target.name])
        return cls(encoder.encode_frame(rows), outcomes, encoder.columns)


@dataclass(frozen=True, slots=True)
class Trial:
    """One of `of` trials, counted from 1; a failed one has no model and no metrics."""

    number: int
    of: int
    params: Mapping[str, Any]
    """Training parameters, which reproduce the model with the number of its trees."""
    seconds: float
    """Duration of training and scoring."""
    booster: xgboost.Booster | None
    """The model, truncated to its best round."""
    metrics: Mapping[str, float]
    """Metrics on the validation rows."""
    failure: str | None

    loss: float
    """The metric on the validation rows that the search minimises; infinite if it failed."""

    stopped: bool = False
    """Whether training ended because the trial could no longer become the best."""
