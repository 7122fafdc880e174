"""Draft one example of a drift, which people can watch being detected."""

from collections.abc import Mapping
from typing import Any

from operations.contract_draft.drafted import Drafted
from operations.contract_draft.yaml_text import flow

_MOST = 3


def draft_drifts(contract: str, features: Mapping[str, Drafted]) -> str:
    """Write a drift file in which up to three features change."""
    changes = {name: _change(drafted) for name, drafted in features.items()}
    chosen = {name: change for name, change in changes.items() if change}
    lines = [
        f"# An example of how the business of {contract}.yaml may change, for make demo-drift.",
        "# contracts/credit_card_churn.drifts.yaml explains the format.",
        f"contract: {contract}",
        "",
        "drifts:",
        "  example:",
        "    meaning: Customers change in the features below; write here what may happen to yours.",
        "    share: 0.8",
        "    features:",
    ]
    lines += [f"      {name}: {flow(chosen[name], 8)}" for name in [*chosen][:_MOST]]
    return "\n".join(lines) + "\n"


def _change(drafted: Drafted) -> dict[str, Any]:
    """Return a change of a feature that monitoring notices; empty if there is none."""
    fields = drafted.fields
    match fields["kind"]:
        case "integer" | "number":
            low, high = fields["range"]
            return {"multiply": 1.5} if low >= 0 else {"add": (high - low) // 5 or 1}
        case "category":
            return {"fix": next(v for v in fields["values"] if v != fields["example"])}
        case "boolean":
            return {"fix": not fields["example"]}
    return {}
