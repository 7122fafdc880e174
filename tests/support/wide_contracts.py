"""Contracts with more values or features than anyone writes by hand."""

from mlstack.contract import Contract
from mlstack.settings import ROOT

TEXT = (ROOT / "contracts" / "credit_card_churn.yaml").read_text()


def many_values(count: int, prefix: str = "Merchant ") -> str:
    """Return a contract whose marital status has many values, `<prefix>0` and so on."""
    values = [f"{prefix}{number}" for number in range(count)]
    raw = ", ".join(f"{value}: {value}" for value in values)
    text = TEXT.replace("[married, single, divorced]", f"[{', '.join(values)}]", 1)
    text = text.replace("{Married: married, Single: single, Divorced: divorced}", f"{{{raw}}}", 1)
    return text.replace("example: married", f"example: {values[0]}", 1)


def many_features(count: int) -> Contract:
    """Return a contract with many whole numbers, `f0` and so on."""
    contract = Contract.parse(TEXT)
    age = contract.features[0]
    features = tuple(
        age.model_copy(update={"name": f"f{number}", "raw": f"F{number}"})
        for number in range(count)
    )
    wide = contract.model_copy(update={"features": features, "slices": ()})
    return Contract.model_validate(wide.model_dump())
