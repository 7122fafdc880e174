"""The model and the customers that all servers share."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from benchmarks.serving.forms import Form
from benchmarks.serving.results import BATCH_ROWS
from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.features import CategoryFeature, IntegerFeature, NumberFeature, OrdinalFeature
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.record import DeploymentState
from mlstack.model.encoder import Encoder
from mlstack.model.model_files import MODEL_FILE
from mlstack.settings import ROOT
from tests.support.models import RUN_ID, write_booster

CONTRACT_FILE = ROOT / "contracts" / "credit_card_churn.yaml"

_TREES, _DEPTH = 200, 6
_TRAINING_ROWS = 8000
_SINGLE_BODIES, _BATCH_BODIES = 512, 8


@dataclass(frozen=True, slots=True)
class Bodies:
    """The bodies of requests in a server's form; each file has one a line."""

    single: list[bytes]
    single_file: Path
    batch_file: Path


class Inputs:
    """The contract, a model of 200 trees of depth 6, and customers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Folder with the model and `features.json`, for the peers' applications."""
        self.contract = Contract.load(CONTRACT_FILE)
        self.encoder = Encoder(self.contract)
        self.customers = CustomerGenerator(self.contract, seed=2).draw(BATCH_ROWS * _BATCH_BODIES)
        folder.mkdir(parents=True)
        self.model_file = folder / MODEL_FILE
        self.booster.save_model(self.model_file)
        (folder / "features.json").write_text(json.dumps(self._features()))

    @cached_property
    def booster(self) -> xgboost.Booster:
        """The model; its outcomes depend on some of the features, so its trees have full depth."""
        customers = CustomerGenerator(self.contract, seed=1).draw(_TRAINING_ROWS)
        matrix = self.encoder.encode(customers)
        noise = np.random.default_rng(0).normal(size=len(matrix))
        score = (matrix - matrix.mean(axis=0)) @ (1 / (matrix.std(axis=0) + 1e-9)) + 2 * noise
        outcomes = (score > np.median(score)).astype(int)
        names = list(self.encoder.columns)
        data = xgboost.DMatrix(matrix, outcomes, feature_names=names)
        parameters = {"objective": "binary:logistic", "max_depth": _DEPTH, "eta": 0.1, "nthread": 1}
        return xgboost.train(parameters, data, _TREES)

    def expected(self, customers: list[Customer]) -> list[float]:
        """Predict customers here, to compare the servers' answers."""
        matrix = self.encoder.encode(customers)
        found: list[float] = self.booster.inplace_predict(matrix, validate_features=False).tolist()
        return found

    def deploy(self, state: Path) -> None:
        """Put the model into the state folder of our server, and deploy it."""
        text = CONTRACT_FILE.read_text(encoding="utf-8")
        write_booster(state / "models" / RUN_ID, self.booster, self.contract, text)
        DeploymentState(state).write_record(RUN_ID, "benchmark")

    def bodies(self, form: Form, name: str) -> Bodies:
        """Write the bodies of requests in a form."""
        single = [form.one(customer) for customer in self.customers[:_SINGLE_BODIES]]
        starts = range(0, len(self.customers), BATCH_ROWS)
        batches = [form.many(self.customers[start : start + BATCH_ROWS]) for start in starts]
        found = Bodies(single, self.folder / f"{name}.single", self.folder / f"{name}.batch")
        found.single_file.write_bytes(b"\n".join(single) + b"\n")
        found.batch_file.write_bytes(b"\n".join(batches) + b"\n")
        return found

    def _features(self) -> list[dict[str, Any]]:
        """Describe the features for applications that do not know contracts."""
        found: list[dict[str, Any]] = []
        for feature in self.contract.features:
            match feature:
                case CategoryFeature():
                    found.append({"name": feature.name, "values": feature.values})
                case OrdinalFeature():
                    span = (0, len(feature.levels) - 1)
                    found.append({"name": feature.name, "whole": True, "range": span})
                case IntegerFeature() | NumberFeature():
                    whole = isinstance(feature, IntegerFeature)
                    found.append({"name": feature.name, "whole": whole, "range": feature.range})
                case _:
                    raise NotImplementedError(f"the peers know no {feature.kind} feature")
        return found
