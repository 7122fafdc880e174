"""The HTTP application in this process, with a real model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Flask
from werkzeug.test import TestResponse

from mlstack.contract import Contract
from mlstack.deployment.predictor import Predictor
from mlstack.model.model import Model
from mlstack.prediction_log.prediction import Outcome, Prediction
from mlstack.prediction_log.segment import SpoolError
from mlstack.settings import Settings
from server.metrics import Metrics
from server.predict_api_server import create_app
from tests.support.models import write_model

RUN_ID = "a" * 32


@dataclass
class ServedModel:
    """A model in use that never changes by itself."""

    predictor: Predictor | None
    reason: str = ""

    @property
    def in_use(self) -> Predictor:
        """The predictor that the test has set."""
        assert self.predictor
        return self.predictor


class MemoryLog:
    """Keeps predictions and outcomes in memory; can be made to fail."""

    def __init__(self) -> None:
        self.predictions: list[Prediction] = []
        self.outcomes: list[Outcome] = []
        self.failure: SpoolError | None = None

    def keep(self, predictions: Sequence[Prediction]) -> None:
        if self.failure:
            raise self.failure
        self.predictions += predictions

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        if self.failure:
            raise self.failure
        self.outcomes += outcomes


def predictor(
    folder: Path,
    contract: Contract,
    run_id: str = RUN_ID,
    seed: int = 1,
    kept: MemoryLog | None = None,
) -> Predictor:
    """Make a predictor with a small model, written to and loaded from a folder."""
    return Predictor(Model.load(write_model(folder, contract, seed), run_id), kept or MemoryLog())


def application(
    served: ServedModel,
    contract: Contract,
    metrics: Metrics | None = None,
    kept: MemoryLog | None = None,
    settings: Settings | None = None,
) -> Flask:
    """Make the application, which serves the model from the first request on."""
    file = Path("contracts") / f"{contract.name}.yaml"
    in_force = (settings or Settings()).model_copy(update={"contract": file})
    return create_app(in_force, served, metrics or Metrics(), kept or MemoryLog())


def problem_code(answer: TestResponse) -> str:
    """Return the code of an answer that is a problem."""
    assert answer.mimetype == "application/problem+json"
    return str(answer.get_json()["code"])
