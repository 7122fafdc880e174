"""Small real models, stored as MLflow stores them."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.record import DeploymentState
from mlstack.model.encoder import Encoder, Matrix
from mlstack.model.model import Model
from mlstack.model.model_files import (
    CHECK_ROWS_FILE,
    EXTRA_FOLDER,
    MODEL_FILE,
    ONNX_FILE,
    ONNX_MANIFEST_FILE,
)
from mlstack.model.model_writer import write_extra_files
from mlstack.settings import ROOT
from tests.support.every_kind import TEXT, every_kind

ROWS = 300
RUN_ID = "a" * 32
"""Run of the model, where one is enough."""


def contract_text(contract: Contract) -> str:
    """Return the YAML of one of the project's contracts, or of the one with every kind."""
    if contract.name == every_kind().name:
        return TEXT
    return (ROOT / "contracts" / f"{contract.name}.yaml").read_text(encoding="utf-8")


@cache
def _customers(contract_text: str) -> Matrix:
    contract = Contract.parse(contract_text)
    return Encoder(contract).encode(CustomerGenerator(contract, seed=1).draw(ROWS))


def train(contract: Contract, seed: int, objective: str = "binary:logistic") -> xgboost.Booster:
    """Train a model on random outcomes; another seed gives other answers."""
    matrix = _customers(contract_text(contract))
    outcomes = np.random.default_rng(seed).integers(0, 2, ROWS)
    data = xgboost.DMatrix(matrix, outcomes, feature_names=list(Encoder(contract).columns))
    parameters = {"objective": objective, "nthread": 1, "seed": seed}
    return xgboost.train(parameters, data, num_boost_round=5)


def write_model(folder: Path, contract: Contract, seed: int) -> Path:
    """Write a model's folder; return it."""
    return write_booster(folder, train(contract, seed), contract, contract_text(contract))


def write_booster(folder: Path, booster: xgboost.Booster, contract: Contract, text: str) -> Path:
    """Write the folder of a trained model, without marginals; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    booster.save_model(folder / MODEL_FILE)
    write_extra_files(booster, contract, text, folder / EXTRA_FOLDER)
    return folder


def keep_model(state: Path, run_id: str, contract: Contract, seed: int) -> Path:
    """Put a model where `model_store` keeps verified copies."""
    return write_model(state / "models" / run_id, contract, seed)


def deploy_model(state: Path, contract: Contract) -> Path:
    """Keep a model and deploy it, both as RUN_ID; return the model's folder."""
    folder = keep_model(state, RUN_ID, contract, seed=1)
    DeploymentState(state).write_record(RUN_ID, "test")
    return folder


def remove_onnx_form(folder: Path) -> None:
    """Make a model's folder one of an earlier release."""
    for name in (ONNX_FILE, CHECK_ROWS_FILE, ONNX_MANIFEST_FILE):
        (folder / EXTRA_FOLDER / name).unlink()


def predictions(model: Model, customers: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Return what a model predicts, without probabilities of classes."""
    return [scored.prediction for scored in model.score(customers)]
