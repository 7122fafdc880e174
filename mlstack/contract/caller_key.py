"""The caller's own identifier of a customer: accepted, kept and returned, but never a feature."""

from typing import Any

from mlstack.contract.features import Name, Text
from mlstack.contract.schema_validator import FieldRule
from mlstack.contract.strict_yaml import StrictModel

LONGEST_KEY = 255


class CallerKey(StrictModel):
    """How a contract names the identifier; a customer's key is a text."""

    name: Name
    """Field of customers, answers and outcomes."""
    raw: Text | None = None
    """Its column in the raw table, if the table has it."""

    def json_schema(self) -> dict[str, Any]:
        """Build the JSON schema of a key."""
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_KEY,
            "description": "Your own identifier of the customer: kept and returned, no feature.",
        }

    def rule(self) -> FieldRule:
        """Return the rule for wording a key's errors."""
        return FieldRule(
            f"a text of 1 to {LONGEST_KEY} characters",
            lambda value: "wrong_format" if isinstance(value, str) else "wrong_type",
        )
