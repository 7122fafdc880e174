"""Validate customers by the contract's JSON schema, which OpenAPI publishes too."""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mlstack.contract.caller_key import LONGEST_KEY
from mlstack.contract.contract import Contract
from mlstack.contract.days import is_day
from mlstack.contract.features import (
    BooleanFeature,
    CategoryFeature,
    ChoiceFeature,
    DateFeature,
    Feature,
    IntegerFeature,
    OrdinalFeature,
    Value,
)
from mlstack.contract.schema_validator import FieldRule, SchemaValidator
from mlstack.errors import InvalidCustomer, listing

_LONGEST_NUMBER = -sys.float_info.max

Customer = dict[str, Value | None]
"""A valid customer: all features in the contract's order, None if missing; the key if it was sent.
"""


def customer_schema(contract: Contract) -> dict[str, Any]:
    """Build the JSON schema (draft 2020-12) of one customer."""
    properties = {f.name: _feature_schema(f) for f in contract.features}
    if contract.key is not None:
        properties[contract.key.name] = contract.key.json_schema()
    return {
        "type": "object",
        "title": contract.name,
        "description": contract.description,
        "additionalProperties": False,
        "required": [f.name for f in contract.features if not f.may_be_missing],
        "properties": properties,
        "example": dict(contract.example),
    }


def _feature_schema(feature: Feature) -> dict[str, Any]:
    schema: dict[str, Any]
    if isinstance(feature, CategoryFeature) and feature.other is not None:
        schema = {"type": "string", "minLength": 1, "examples": list(feature.values)}
    elif isinstance(feature, CategoryFeature):
        schema = {"type": "string", "enum": list(feature.values)}
    elif isinstance(feature, OrdinalFeature):
        schema = {"type": "integer", "minimum": 0, "maximum": len(feature.levels) - 1}
    elif isinstance(feature, BooleanFeature):
        schema = {"type": "boolean"}
    elif isinstance(feature, DateFeature):
        first, last = feature.range
        bounds = {"formatMinimum": first, "formatMaximum": last}
        schema = {"type": "string", "format": "date", **bounds}
    else:
        low, high = feature.range
        schema = {"type": feature.kind, "minimum": low, "maximum": high}
    if feature.may_be_missing:
        schema["type"] = [schema["type"], "null"]
        if "enum" in schema:
            schema["enum"].append(None)
    schema["description"] = f"{feature.meaning}: {describe(feature)}"
    return schema


def describe(feature: Feature) -> str:
    """Describe a feature's allowed values, to complete 'must be ...'."""
    unit = f" ({feature.unit})" if feature.unit else ""
    if isinstance(feature, CategoryFeature):
        text = "one of " + listing([f'"{value}"' for value in feature.values])
        if feature.other is not None:
            text += f', or another text, which counts as "{feature.other}"'
    elif isinstance(feature, OrdinalFeature):
        text = "one of " + listing([f"{i} ({label})" for i, label in enumerate(feature.levels)])
    elif isinstance(feature, BooleanFeature):
        text = "true or false"
    elif isinstance(feature, DateFeature):
        text = "a date (YYYY-MM-DD) from {} to {}".format(*feature.range)
    else:
        kind = "a whole number" if isinstance(feature, IntegerFeature) else "a number"
        low, high = feature.range
        text = f"{kind} from {low:.15g} to {high:.15g}{unit}"
    return f"{text}, or null" if feature.may_be_missing else text


def customer_rules(contract: Contract) -> dict[str, FieldRule]:
    """Return the rules for wording the errors of a customer's fields."""
    rules = {f.name: FieldRule(describe(f), partial(_code, f)) for f in contract.features}
    return rules | ({contract.key.name: contract.key.rule()} if contract.key else {})


def longest_customer(contract: Contract) -> int:
    """Return how many bytes the longest customers take as JSON, without needless spaces."""
    longest = dict[str, Value]()
    for feature in contract.features:
        values: Sequence[Value] = (_LONGEST_NUMBER,)
        if isinstance(feature, ChoiceFeature):
            values = feature.values
        longest[feature.name] = max(values, key=lambda value: len(json.dumps(value)))
    if contract.key is not None:
        longest[contract.key.name] = "x" * LONGEST_KEY
    return len(json.dumps(longest))


class CustomerValidator:
    """Checks requests against a contract."""

    def __init__(self, contract: Contract) -> None:
        self._names = contract.feature_names
        self._key = contract.key.name if contract.key else ""
        self._whole = {
            f.name for f in contract.features if isinstance(f, IntegerFeature | OrdinalFeature)
        }
        self._open = [
            (f.name, frozenset(f.values), f.other)
            for f in contract.features
            if isinstance(f, CategoryFeature) and f.other is not None
        ]
        self._schema = SchemaValidator(
            customer_schema(contract),
            customer_rules(contract),
            item="a customer's features",
            items="customers",
            unknown="is not a feature of this model",
        )

    def validate(self, request: Any) -> Customer:
        """Check a parsed JSON value, and return the customer as `customer` does.

        Raises InvalidCustomer with every error, at most `MAX_ERRORS`.
        """
        if faults := self._schema.faults(request):
            raise InvalidCustomer(faults)
        return self.customer(request)

    def validate_batch(self, request: Any, *, most: int) -> list[Customer]:
        """Check an array of 1 to `most` customers; one bad customer fails all.

        Raises InvalidCustomer; its pointers begin with the position in the array.
        """
        if faults := self._schema.array_faults(request, most):
            raise InvalidCustomer(faults)
        return [self.customer(customer) for customer in request]

    def customer(self, request: Mapping[str, Any]) -> Customer:
        """Convert an object with valid features to a customer: features, and the key if it has one.

        Whole numbers become ints, and texts that a category does not list its `other` value.
        """
        customer: Customer = {name: request.get(name) for name in self._names}
        for name in self._whole:
            value = customer[name]
            if isinstance(value, float):
                customer[name] = int(value)
        for name, known, other in self._open:
            if customer[name] is not None and customer[name] not in known:
                customer[name] = other
        if self._key in request:
            customer[self._key] = request[self._key]
        return customer


def _code(feature: Feature, value: Any) -> str:
    if isinstance(feature, CategoryFeature):
        return "unknown_category" if isinstance(value, str) else "wrong_type"
    if isinstance(feature, DateFeature) and isinstance(value, str):
        return "out_of_range" if is_day(value) else "wrong_format"
    if isinstance(feature, BooleanFeature | DateFeature):
        return "wrong_type"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "wrong_type"
    if isinstance(feature, IntegerFeature | OrdinalFeature) and value != int(value):
        return "wrong_type"
    return "unknown_category" if isinstance(feature, OrdinalFeature) else "out_of_range"
