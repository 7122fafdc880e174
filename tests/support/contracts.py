"""The contracts that the project carries."""

from mlstack.contract import Contract
from mlstack.contract.target import BinaryTarget

CONTRACTS = ("credit_card_churn", "credit_card_churn_full")


def binary(contract: Contract) -> BinaryTarget:
    """Return the target of a contract whose target is binary."""
    assert isinstance(contract.target, BinaryTarget)
    return contract.target
