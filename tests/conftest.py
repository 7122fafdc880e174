"""What every test may ask for."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.environments import OWN_VARIABLES
from mlstack.settings import ROOT
from tests.support.contracts import CONTRACTS
from tests.support.mongo import MongoServer

# Prefect reads `.env` in the working folder, but does not replace variables in it as we do: after
# `make demo` its home would be at the root of the file system.
os.environ["PREFECT_HOME"] = f"{tempfile.gettempdir()}/mlstack-tests-prefect-{os.getuid()}"

# The files that take longest begin first; short ones fill the gaps at the end.
_LONGEST = (
    *("test_walkthrough", "test_readme", "test_stream_server", "test_flows", "test_supervision"),
    *("test_stream_kcl", "test_hostile_environment", "test_upgrade", "test_tracking"),
    *("test_evidently_service", "test_retention_of_models", "test_stream_simulator"),
    "test_stream_shared",
    *("test_ledger_api", "test_deploy_over_ssh", "test_deletions_in_mlflow"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then those that start servers."""
    items.sort(key=lambda item: "unit" in item.path.parts)
    items.sort(
        key=lambda item: _LONGEST.index(item.path.stem) if item.path.stem in _LONGEST else 99
    )


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's shell never decides what a test sees."""
    for name in (*OWN_VARIABLES, "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[str]:
    """Address of a MongoDB with nothing in it."""
    with MongoServer(tmp_path / "mongo") as server:
        yield server.uri


@pytest.fixture(params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    """Each of the contracts that the project carries."""
    return Contract.load(ROOT / "contracts" / f"{request.param}.yaml")


@pytest.fixture
def documented() -> Contract:
    """The contract with the documented 11 features."""
    return Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")


@pytest.fixture
def full() -> Contract:
    """The contract with all 19 features, some of which may be missing."""
    return Contract.load(ROOT / "contracts" / "credit_card_churn_full.yaml")
