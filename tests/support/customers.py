"""Customers of the project's contracts, as tables."""

from functools import cache

import numpy as np
import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.settings import ROOT


@cache
def contract_named(name: str) -> Contract:
    return Contract.load(ROOT / "contracts" / f"{name}.yaml")


@cache
def _drawn(name: str, rows: int, seed: int) -> list[Customer]:
    """Draw the same customers whatever other tests have drawn; other ones for each size."""
    return CustomerGenerator(contract_named(name), seed=1000 * seed + rows).draw(rows)


def customers(contract: Contract, rows: int, *, drift: str = "", seed: int = 1) -> pd.DataFrame:
    """Draw customers as the simulators do, with chances and without outcomes."""
    drawn = _drawn(contract.name, rows, seed)
    if drift:
        path = drifts_path(ROOT / "contracts" / f"{contract.name}.yaml")
        drawn = DriftingCustomers(contract, load_drift(contract, path, drift), seed).apply(drawn)
    chances = np.random.default_rng(seed).beta(1, 5, rows)
    return customer_table(drawn, contract).assign(**{PREDICTION: chances}, **{TARGET: np.nan})


def with_outcomes(rows: pd.DataFrame, seed: int = 1) -> pd.DataFrame:
    """Add the outcomes that the chances predict."""
    random = np.random.default_rng(seed).random(len(rows))
    return rows.assign(**{TARGET: (random < rows[PREDICTION]).astype("float64")})
