"""Contracts whose targets are of each kind, and tables that a model can learn from."""

import random
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import TARGET
from mlstack.contract.target import RegressionTarget
from mlstack.data import dataset
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.data.outcome_table import outcome_column
from mlstack.model.encoder import Encoder
from mlstack.model.model import Model
from mlstack.model.targets import Scores, objective
from mlstack.quality.reference import Reference
from mlstack.quality.targets import quality_at_training
from model_orchestration.search import search
from model_orchestration.trials import Rows, Trial
from tests.support.models import write_booster

RUN_ID = "a" * 32
KINDS = ("binary", "regression", "multiclass")

_TARGETS = {
    "binary": "{name: late, raw: Late, positive: [y, Y], negative: [n], ignored: ['?'], "
    "meaning: The parcel is late.}",
    "regression": "{kind: regression, name: minutes, raw: Minutes, range: [0, 500], unit: minutes, "
    "deviations: [10, 30], meaning: How long the delivery takes}",
    "multiclass": "{kind: multiclass, name: outcome, raw: Outcome, "
    "classes: [delivered, returned, lost], raw_values: {D: delivered, d: delivered, R: returned, "
    "L: lost}, ignored: ['?'], meaning: What becomes of the parcel}",
}
_TEXT = """\
name: parcels_{kind}
description: Parcels and what becomes of them.
answer: forecast
data: {{key: parcels/{kind}.csv}}
clean_up: {{}}
split: {{train: 0.6, validation: 0.2, test: 0.2, seed: 7}}
target: {target}
features:
  - name: distance
    kind: number
    range: [0, 100]
    missing: allow
    meaning: Distance
    unit: km
    example: 12.5
    raw: Distance
  - name: stops
    kind: integer
    range: [0, 40]
    missing: refuse
    meaning: Stops on the way
    example: 3
    raw: Stops
  - name: country
    kind: category
    values: [home, near]
    missing: refuse
    meaning: Where to
    example: home
    raw: Country
    raw_values: {{DE: home, AT: near}}
"""


def contract_text(kind: str) -> str:
    """Return a contract with this kind of target."""
    return _TEXT.format(kind=kind, target=_TARGETS[kind])


def contract_of(kind: str) -> Contract:
    """Parse it."""
    return Contract.parse(contract_text(kind))


def raw_rows(kind: str, rows: int, seed: int = 1) -> pd.DataFrame:
    """Generate a raw table of texts; distance decides most of the target."""
    draws = random.Random(seed)
    target = contract_of(kind).target
    table = []
    for _ in range(rows):
        distance, stops = draws.uniform(0, 100), draws.randint(0, 40)
        minutes = min(max(distance * 3 + stops + draws.gauss(0, 8), 0), 500)
        outcome = {
            "binary": "yYnn"[draws.randrange(2) + 2 * (distance + draws.gauss(0, 15) < 60)],
            "regression": f"{minutes:.2f}",
            "multiclass": draws.choices("DdRL", [1, 1, distance / 25, 8 * (distance > 75)])[0],
        }[kind]
        table.append((f"{distance:.2f}", str(stops), draws.choice(["DE", "AT"]), outcome))
    return pd.DataFrame(table, columns=["Distance", "Stops", "Country", target.raw])


@dataclass(frozen=True)
class Trained:
    """A small search on a generated table, and its model as it is kept."""

    contract: Contract
    parts: dataset.SplitRows
    best: Trial
    model: Model


@cache
def trained(kind: str) -> Trained:
    """Train on a generated table with 2 trials; write the model's folder and load it."""
    contract = contract_of(kind)
    parts = dataset.split(dataset.clean(raw_rows(kind, 1500), contract), contract)
    train, validation, _ = (Rows.encode(part, contract) for part in parts)
    best = search(train, validation, contract.target, trials=2, seed=1)
    assert best.booster is not None
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_booster(Path(scratch), best.booster, contract, contract_text(kind))
        return Trained(contract, parts, best, Model.load(folder, RUN_ID))


def small_model(folder: Path, kind: str) -> Model:
    """Write and load a model of a few trees, trained on made-up customers without a search."""
    contract = contract_of(kind)
    matrix = Encoder(contract).encode(CustomerGenerator(contract, seed=1).draw(300))
    numbers = np.nan_to_num(matrix[:, 0]) + matrix[:, 1]
    learnt = {"binary": numbers > 70, "regression": numbers, "multiclass": numbers // 25 % 3}[kind]
    params = {**objective(contract.target), "nthread": 1}
    booster = xgboost.train(params, xgboost.DMatrix(matrix, learnt), num_boost_round=8)
    return Model.load(write_booster(folder, booster, contract, contract_text(kind)), RUN_ID)


def reference_of(found: Trained) -> Reference:
    """Return the training rows as the monitoring service compares with them."""
    target, rows = found.contract.target, found.parts.train
    features = customer_table(rows, found.contract)
    scored = features.join(found.model.score_table(features))
    scored[TARGET] = outcome_column(rows[target.name], target)
    quality = quality_at_training(found.best.metrics, target)
    return Reference(RUN_ID, found.contract, scored, quality)


def scored_rows(kind: str, rows: int) -> "tuple[pd.Series[Any], Scores]":
    """Return outcomes and made-up scores that are often right, many of them equal."""
    target, draws = contract_of(kind).target, np.random.default_rng(1)
    if isinstance(target, RegressionTarget):
        outcomes = draws.uniform(0, 500, rows)
        return pd.Series(outcomes), (outcomes + draws.normal(0, 30, rows)).astype(np.float32)
    classes = list(target.class_texts)
    chosen = draws.integers(len(classes), size=rows)
    margins = draws.normal(0, 1, (rows, len(classes)))
    margins[np.arange(rows), chosen] += 1
    chances = np.exp(margins.round(1))
    chances /= chances.sum(axis=1, keepdims=True)
    scores = chances.astype(np.float32)
    outcomes = np.array(classes, np.int64 if kind == "binary" else object)[chosen]
    return pd.Series(outcomes), scores[:, classes.index(1)] if kind == "binary" else scores
