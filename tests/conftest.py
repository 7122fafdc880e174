"""What every test may ask for."""

import pytest

from mlstack.contract import Contract
from mlstack.environments import OWN_VARIABLES
from mlstack.settings import ROOT
from support.contracts import CONTRACTS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take longest begin first; what is short fills the gaps at the end."""
    items.sort(key=lambda item: (item.path.parent.name, item.path.name), reverse=True)
    items.sort(key=lambda item: item.path.parent.name != "integration")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's shell never decides what a test sees."""
    for name in (*OWN_VARIABLES, "MLFLOW_TRACKING_URI", "PREFECT_API_URL", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


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
