"""Decode customers from JSON in one pass, by a decoder compiled from the contract.

It decodes valid customers several times faster than the complete way, `strict_json.parse` and
`CustomerValidator`, which alone can say what is wrong with a body.
"""

import math
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from mlstack.contract.caller_key import LONGEST_KEY
from mlstack.contract.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.features import (
    BooleanFeature,
    CategoryFeature,
    DateFeature,
    Feature,
    IntegerFeature,
    OrdinalFeature,
)

_MAX_INT = 2**63 - 1
"""msgspec takes no larger bound of an int."""

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_MANY_DIGITS = b"0" * 21
"""A number longer than `strict_json.MAX_NUMBER_LENGTH` has so many digits in a row. Searching for
them takes a sixth of the time of the exact search."""
_LONG_NUMBER = re.compile(rb"[:\s][-0-9][0-9.eE+-]{64}")

_ESCAPED_COLON = re.compile(rb"\\u003a", re.IGNORECASE)


class CustomerDecoder:
    """Decodes customers of a contract; thread-safe.

    A result equals what `strict_json.parse` and `CustomerValidator` return for the same body, with
    its types and order. None means that the body is invalid or unusual: only they can tell.
    """

    def __init__(self, contract: Contract) -> None:
        features = contract.features
        self._whole = [f.name for f in features if isinstance(f, IntegerFeature | OrdinalFeature)]
        self._optional = [f.name for f in features if f.may_be_missing]
        categories = [f for f in features if isinstance(f, CategoryFeature)]
        self._open = [(f.name, frozenset(f.values), f.other) for f in categories if f.other]
        self._dates = [
            (f.name, date.fromisoformat(f.range[0]), date.fromisoformat(f.range[1]))
            for f in features
            if isinstance(f, DateFeature)
        ]
        self._key = contract.key.name if contract.key else ""
        self._with_colons = [f.name for f in categories if f.other or ":" in "".join(f.values)]
        self._with_colons += [self._key] if self._key else []
        customer = _customer_type(contract)
        self._one = msgspec.json.Decoder(customer)
        self._many = msgspec.json.Decoder(list[customer])  # type: ignore[valid-type] # made above

    def decode(self, body: bytes) -> Customer | None:
        """Decode a customer, or return None."""
        try:
            return self._customers([self._one.decode(body)], body)[0]
        except Exception:  # noqa: BLE001 - whatever it is, the complete way tells the caller
            return None

    def decode_batch(self, body: bytes, most: int) -> list[Customer] | None:
        """Decode an array of 1 to `most` customers, or return None."""
        try:
            decoded = self._many.decode(body)
            return self._customers(decoded, body) if 1 <= len(decoded) <= most else None
        except Exception:  # noqa: BLE001 - as above
            return None

    def _customers(self, decoded: Sequence[Struct], body: bytes) -> list[Customer]:
        """Convert decoded customers. Raises ValueError if they are not to be taken."""
        if _MANY_DIGITS in body.translate(_DIGITS) and _LONG_NUMBER.search(body):
            raise ValueError("a number is too long")
        if b"\\" in body and _ESCAPED_COLON.search(body):
            raise ValueError("colons cannot be counted")
        customers, colons = [], 0
        for one in decoded:
            customer: dict[str, Any] = msgspec.structs.asdict(one)
            colons += self._settle_absent(customer)
            for name in self._with_colons:
                if text := customer.get(name):
                    colons += text.count(":")
            self._convert(customer)
            customers.append(customer)
        # msgspec takes the last of two equal keys without a word, but each brings a colon.
        if body.count(b":") != colons:
            raise ValueError("a key appears twice")
        return customers

    def _settle_absent(self, customer: dict[str, Any]) -> int:
        """Set absent features to None and remove an absent key; return how many are present."""
        present = len(customer)
        for name in self._optional:
            if customer[name] is UNSET:
                customer[name] = None
                present -= 1
        if self._key and customer[self._key] is UNSET:
            del customer[self._key]
            present -= 1
        return present

    def _convert(self, customer: dict[str, Any]) -> None:
        """Convert values as `CustomerValidator` does. Raises ValueError if a date is invalid."""
        for name in self._whole:
            if type(customer[name]) is float:
                customer[name] = int(customer[name])
        for name, known, other in self._open:
            if customer[name] not in known and customer[name] is not None:
                customer[name] = other
        for name, first, last in self._dates:
            if (day := customer[name]) is not None:
                if not first <= day <= last:
                    raise ValueError("a date is out of range")
                customer[name] = day.isoformat()


def _customer_type(contract: Contract) -> type[Struct]:
    """Build the type of a decoded customer: the features in order, then the key."""
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for feature in contract.features:
        if feature.may_be_missing:
            fields.append((feature.name, _value_type(feature) | None | UnsetType, UNSET))
        else:
            fields.append((feature.name, _value_type(feature)))
    if contract.key is not None:
        key = Annotated[str, Meta(min_length=1, max_length=LONGEST_KEY)]
        fields.append((contract.key.name, key | UnsetType, UNSET))
    return msgspec.defstruct("Customer", fields, kw_only=True, forbid_unknown_fields=True, gc=False)


def _value_type(feature: Feature) -> Any:
    if isinstance(feature, CategoryFeature):
        return Annotated[str, Meta(min_length=1)] if feature.other else Literal[feature.values]
    if isinstance(feature, BooleanFeature):
        return bool
    if isinstance(feature, DateFeature):
        return date
    if isinstance(feature, OrdinalFeature):
        return _number_type(0, len(feature.levels) - 1, multiple_of=1)
    if isinstance(feature, IntegerFeature):
        return _number_type(*feature.range, multiple_of=1)
    return _number_type(*feature.range)


def _number_type(low: float, high: float, multiple_of: int | None = None) -> Any:
    """Build the type of a number that stays the int or float that it is in JSON."""
    least, most = max(math.ceil(low), -_MAX_INT), min(math.floor(high), _MAX_INT)
    if least > most:
        least, most = 1, 0  # there is no such int
    return (
        Annotated[int, Meta(ge=least, le=most)]
        | Annotated[float, Meta(ge=low, le=high, multiple_of=multiple_of)]
    )
