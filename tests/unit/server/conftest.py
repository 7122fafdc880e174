"""The HTTP application with a small model."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from mlstack.contract import Contract
from server.metrics import Metrics
from tests.support.api import ServedModel, application, predictor


@pytest.fixture
def served(tmp_path: Path, documented: Contract) -> ServedModel:
    return ServedModel(predictor(tmp_path / "model", documented))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def app(served: ServedModel, documented: Contract, metrics: Metrics) -> Flask:
    return application(served, documented, metrics)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def example(documented: Contract) -> dict[str, Any]:
    return dict(documented.example)
