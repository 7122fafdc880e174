"""Validates customers: the contract as a JSON schema, and a request's faults in sentences.

Requests are checked against the very schema that OpenAPI publishes.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from mlstack.contract.contract import Contract
from mlstack.contract.features import (
    CategoryFeature,
    Feature,
    IntegerFeature,
    OrdinalFeature,
    Value,
)
from mlstack.errors import (
    MAX_ERRORS,
    FieldError,
    InvalidCustomer,
    echo,
    json_kind,
    json_pointer,
)

if TYPE_CHECKING:
    import jsonschema_rs

Customer = dict[str, Value | None]
"""A valid customer: every feature in the contract's order; None means missing."""


def customer_schema(contract: Contract) -> dict[str, Any]:
    """Builds the JSON schema (draft 2020-12) of one customer."""
    return {
        "type": "object",
        "title": contract.name,
        "description": contract.description,
        "additionalProperties": False,
        "required": [f.name for f in contract.features if not f.may_be_missing],
        "properties": {f.name: _feature_schema(f) for f in contract.features},
        "example": dict(contract.example),
    }


def _feature_schema(feature: Feature) -> dict[str, Any]:
    schema: dict[str, Any]
    if isinstance(feature, CategoryFeature):
        schema = {"type": "string", "enum": list(feature.values)}
    elif isinstance(feature, OrdinalFeature):
        schema = {"type": "integer", "minimum": 0, "maximum": len(feature.levels) - 1}
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
    """Says which values a feature allows, to complete 'must be ...'."""
    unit = f" ({feature.unit})" if feature.unit else ""
    if isinstance(feature, CategoryFeature):
        text = "one of " + ", ".join(f'"{value}"' for value in feature.values)
    elif isinstance(feature, OrdinalFeature):
        text = "one of " + ", ".join(f"{i} ({label})" for i, label in enumerate(feature.levels))
    else:
        kind = "a whole number" if isinstance(feature, IntegerFeature) else "a number"
        low, high = feature.range
        text = f"{kind} from {low:.15g} to {high:.15g}{unit}"
    return f"{text}, or null" if feature.may_be_missing else text


class CustomerValidator:
    """Checks requests against a contract.

    Args:
        contract: What a customer is.
    """

    def __init__(self, contract: Contract) -> None:
        # A large extension module: programs that only draw or send customers do without it.
        import jsonschema_rs  # noqa: PLC0415

        self._kinds = jsonschema_rs.ValidationErrorKind
        self._features = {feature.name: feature for feature in contract.features}
        self._whole = {
            f.name for f in contract.features if isinstance(f, IntegerFeature | OrdinalFeature)
        }
        schema = customer_schema(contract)
        self._one = jsonschema_rs.Draft202012Validator(schema)
        self._many = jsonschema_rs.Draft202012Validator({"type": "array", "items": schema})

    def validate(self, request: Any) -> Customer:
        """Checks one customer.

        Args:
            request: A parsed JSON value whose texts are all valid Unicode.

        Returns:
            The customer, with whole floats as ints.

        Raises:
            InvalidCustomer: carries every fault, at most `MAX_ERRORS`.
        """
        if not self._one.is_valid(request):
            raise InvalidCustomer(self._faults(self._one, request))
        return self._customer(request)

    def validate_batch(self, request: Any, *, most: int) -> list[Customer]:
        """Checks an array of 1 to `most` customers; one bad customer fails the whole array.

        Raises:
            InvalidCustomer: as in `validate`; pointers begin with the position in the array.
        """
        if isinstance(request, list) and not 1 <= len(request) <= most:
            code = "too_few" if not request else "too_many"
            detail = f"must have 1 to {most} customers, has {len(request)}"
            raise InvalidCustomer((FieldError("", code, detail),))
        if not self._many.is_valid(request):
            raise InvalidCustomer(self._faults(self._many, request))
        return [self._customer(customer) for customer in request]

    def _customer(self, request: Mapping[str, Any]) -> Customer:
        customer: Customer = {name: request.get(name) for name in self._features}
        for name in self._whole:
            value = customer[name]
            if isinstance(value, float):
                customer[name] = int(value)
        return customer

    def _faults(
        self, validator: "jsonschema_rs.Draft202012Validator", request: Any
    ) -> tuple[FieldError, ...]:
        faults: list[FieldError] = []
        for error in validator.iter_errors(request):
            for fault in self._field_errors(error):
                if fault not in faults:
                    faults.append(fault)
                if len(faults) == MAX_ERRORS:
                    return tuple(faults)
        return tuple(faults)

    def _field_errors(self, error: "jsonschema_rs.ValidationError") -> Iterator[FieldError]:
        path, kind = error.instance_path, error.kind
        if isinstance(kind, self._kinds.AdditionalProperties):
            for name in kind.unexpected:
                detail = f"is no feature of this model: {echo(name)}"
                yield FieldError(json_pointer([*path, name]), "unknown_field", detail)
        elif isinstance(kind, self._kinds.Required):
            name = kind.property
            detail = f"is missing; must be {describe(self._features[name])}"
            yield FieldError(json_pointer([*path, name]), "missing", detail)
        elif not path or isinstance(path[-1], int):
            array = getattr(kind, "types", None) == ["array"]
            wanted = "array of customers" if array else "object with a customer's features"
            detail = f"must be a JSON {wanted}, is {json_kind(error.instance)}"
            yield FieldError(json_pointer(path), "wrong_type", detail)
        else:
            feature = self._features[str(path[-1])]
            value = error.instance
            detail = f"must be {describe(feature)}; got {echo(value)}"
            yield FieldError(json_pointer(path), _code(feature, value), detail)


def _code(feature: Feature, value: Any) -> str:
    if isinstance(feature, CategoryFeature):
        return "unknown_category" if isinstance(value, str) else "wrong_type"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "wrong_type"
    if isinstance(feature, IntegerFeature | OrdinalFeature) and value != int(value):
        return "wrong_type"
    return "unknown_category" if isinstance(feature, OrdinalFeature) else "out_of_range"
