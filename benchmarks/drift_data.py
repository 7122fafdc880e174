"""Data of `drift_detection`: a reference, and windows of customers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.training_quality import table_file
from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.drifts import Drift, DriftingCustomers, drifts_path, load_drifts
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.data import dataset
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table, table_customers
from mlstack.model.encoder import Encoder
from mlstack.quality.figures import estimate_quality, measure_quality
from mlstack.quality.results import BinaryQuality
from model_orchestration.search import search
from model_orchestration.trials import Rows

_SEED, _TRIALS = 20221, 10

Draw = Callable[[int], list[Customer]]


class DriftData:
    """A reference, and customers to draw windows from."""

    def __init__(self, path: Path) -> None:
        self.contract = contract = Contract.load(path)
        self.file = table_file(contract)
        parts = dataset.split(dataset.clean(dataset.read_raw(self.file), contract), contract)
        train, validation, _ = (Rows.encode(part, contract) for part in parts)
        best = search(train, validation, contract.target, trials=_TRIALS, seed=_SEED)
        assert best.booster is not None  # noqa: S101 - a winner has a model
        self._booster, self._encoder = best.booster, Encoder(contract)
        self.reference = customer_table(parts.train, contract).assign(
            **{PREDICTION: self._scores(train.matrix), TARGET: train.outcomes.astype("float64")}
        )
        self._chance = np.random.default_rng(_SEED)
        unseen = pd.concat([parts.validation, parts.test])
        self._unseen = table_customers(unseen, contract)
        self._unseen_outcomes = unseen[contract.target.name].to_numpy(dtype="float64")
        self.sources: dict[str, Draw] = {
            "real": self._draw_real,
            "simulated": CustomerGenerator(contract, _SEED).draw,
        }
        """Functions that draw customers."""
        self.drifts: dict[str, Drift | None] = {
            "none": None,
            **load_drifts(contract, drifts_path(path)),
        }

    def window(self, draw: Draw, rows: int, drift: Drift | None, seed: int) -> pd.DataFrame:
        """Draw customers and return them with their predictions."""
        customers = draw(rows)
        if drift is not None:
            customers = DriftingCustomers(self.contract, drift, seed).apply(customers)
        chances = self._scores(self._encoder.encode(customers))
        return customer_table(customers, self.contract).assign(**{PREDICTION: chances})

    def qualities(self, rows: int) -> tuple[BinaryQuality, BinaryQuality]:
        """Return measured and estimated quality on real customers unseen by any model."""
        chosen = self._chance.choice(len(self._unseen), rows, replace=False)
        customers = [self._unseen[number] for number in chosen]
        chances = self._scores(self._encoder.encode(customers))
        measured = measure_quality(self._unseen_outcomes[chosen], chances)
        estimated = estimate_quality(chances, rows)
        assert estimated is not None  # noqa: S101 - every row has a prediction
        return measured, estimated

    def _draw_real(self, rows: int) -> list[Customer]:
        chosen = self._chance.choice(len(self._unseen), rows, replace=rows > len(self._unseen))
        return [self._unseen[number] for number in chosen]

    def _scores(self, matrix: np.ndarray) -> np.ndarray:
        return self._booster.inplace_predict(matrix).astype("float64")
