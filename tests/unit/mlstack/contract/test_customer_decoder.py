"""Tests of the compiled decoder: it never differs from the complete way."""

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_decoder import CustomerDecoder
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.errors import InvalidCustomer
from mlstack.web import strict_json
from tests.support.contracts import CONTRACTS
from tests.support.customer_bodies import (
    ODD_CONTRACT,
    ODD_VALUES,
    WRITINGS,
    any_batch,
    any_body,
    valid_customers,
)
from tests.support.customers import contract_named
from tests.support.every_kind import TEXT, every_kind
from tests.support.wide_contracts import many_features, many_values

# DECODER_BODIES=100000 for a campaign of two minutes.
_BODIES = int(os.environ.get("DECODER_BODIES", "4000"))
_MOST = 3

_CONTRACTS = {
    **{name: contract_named(name) for name in CONTRACTS},
    "every kind": every_kind(),
    "every kind, with a key": Contract.parse(TEXT + "key: {name: parcel}\n"),
    "odd": Contract.parse(ODD_CONTRACT),
}


@pytest.fixture(params=_CONTRACTS)
def any_contract(request: pytest.FixtureRequest) -> Contract:
    """Each contract of these tests."""
    return _CONTRACTS[request.param]


def complete(body: bytes, validate: Callable[[Any], Any]) -> Any:
    """Decode a body in the complete way; None if it is refused."""
    try:
        return validate(strict_json.parse(body))
    except (strict_json.InvalidJson, InvalidCustomer):
        return None


def exact(customer: Customer) -> str:
    """Return a text that tells 1, 1.0, -0.0 and True apart, and the order of keys."""
    return repr(list(customer.items()))


def test_decoder_agrees_on_any_body(any_contract: Contract) -> None:
    """What it takes, the complete way takes with the same values, types and order."""
    decoder, validator = CustomerDecoder(any_contract), CustomerValidator(any_contract)
    draws, valid, taken = random.Random(14), 0, 0
    customers = valid_customers(any_contract, 500, draws)
    for _ in range(_BODIES // len(_CONTRACTS)):
        body = any_body(draws.choice(customers), draws)
        fast, slow = decoder.decode(body), complete(body, validator.validate)
        valid += slow is not None
        if fast is not None:
            taken += 1
            assert slow is not None, body
            assert exact(fast) == exact(slow), body
    assert 0.95 * valid < taken <= valid < 0.7 * _BODIES / len(_CONTRACTS)


def test_decoder_agrees_on_every_odd_value(any_contract: Contract) -> None:
    """Each feature with each value that could be read in two ways."""
    decoder, validator = CustomerDecoder(any_contract), CustomerValidator(any_contract)
    key = [any_contract.key.name] if any_contract.key else []
    for name in [*any_contract.feature_names, *key]:
        for value in ODD_VALUES:
            document = json.dumps({**any_contract.example, name: "$"})
            body = document.replace('"$"', value).encode()
            fast, slow = decoder.decode(body), complete(body, validator.validate)
            assert fast is None or exact(fast) == exact(slow), body


def test_decoder_agrees_on_any_batch(any_contract: Contract) -> None:
    """One bad customer fails all, as does a batch of none or of too many."""
    decoder, validator = CustomerDecoder(any_contract), CustomerValidator(any_contract)
    draws = random.Random(14)
    customers = valid_customers(any_contract, 500, draws)
    for _ in range(_BODIES // len(_CONTRACTS) // 10):
        body = any_batch(customers, draws)
        fast = decoder.decode_batch(body, _MOST)
        slow = complete(body, lambda batch: validator.validate_batch(batch, most=_MOST))
        if fast is not None:
            assert list(map(exact, fast)) == list(map(exact, slow)), body


def test_decoder_takes_every_plain_customer(any_contract: Contract) -> None:
    """A valid customer in any usual writing does not need the complete way."""
    decoder = CustomerDecoder(any_contract)
    for customer in valid_customers(any_contract, 100, random.Random(14)):
        for write in WRITINGS:
            assert decoder.decode(write(customer).encode()) is not None, write(customer)
            assert decoder.decode_batch(write([customer] * 2).encode(), 2) is not None


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"\xff", b"null", b"5", b'"x"', b"[]", b"{}", b"[" * 20_000, b"{" * 9999]
)
def test_decoder_leaves_other_documents(documented: Contract, body: bytes) -> None:
    """Whatever the body, it raises nothing."""
    decoder = CustomerDecoder(documented)
    assert decoder.decode(body) is None
    assert decoder.decode_batch(body, _MOST) is None


def test_decoder_sees_duplicate_beside_escaped_colon() -> None:
    """A colon too few in a text does not make up for one too many of a key."""
    pairs = [f'"{name}": {json.dumps(value)}' for name, value in every_kind().example.items()]
    pairs[3] = r'"country": "\u003a"'
    decoder = CustomerDecoder(every_kind())
    assert decoder.decode(f"{{{', '.join([*pairs, pairs[0]])}}}".encode()) is None


def test_decoder_takes_wide_contracts() -> None:
    """Hundreds of features and thousands of categories are compiled as well."""
    for contract in (many_features(500), Contract.parse(many_values(5000))):
        body = json.dumps(dict(contract.example)).encode()
        assert CustomerDecoder(contract).decode(body) == contract.example
