"""The HTTP application in this process, with a real model."""

from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from mlstack.contract import Contract
from mlstack.model import Model
from mlstack.predictor import Predictor
from mlstack.settings import Settings
from server.metrics import Metrics
from server.predict_api_server import create_app
from support.models import write_model

RUN_ID = "a" * 32


@dataclass
class Served:
    """A model in use that never changes by itself."""

    predictor: Predictor | None
    reason: str = ""


def predictor(folder: Path, contract: Contract, run_id: str = RUN_ID, seed: int = 1) -> Predictor:
    """A predictor with a small model, written to and loaded from a folder."""
    return Predictor(Model.load(write_model(folder, contract, seed), run_id))


def application(served: Served, contract: Contract, metrics: Metrics | None = None) -> Flask:
    """The application, which serves the model from the first request on."""
    settings = Settings(contract=Path("contracts") / f"{contract.name}.yaml")
    return create_app(settings, served, metrics or Metrics())
