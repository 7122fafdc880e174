"""Tests of validation: every fault is reported with its field, as a sentence."""

import json
import random
import time
from typing import Any

import pytest

from mlstack.contract import Contract, IntegerFeature
from mlstack.contract.customer_schema import (
    CustomerValidator,
    customer_schema,
    describe,
    longest_customer,
)
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.errors import MAX_ECHO, MAX_ERRORS, FieldError, InvalidCustomer
from tests.support.customer_bodies import valid_customers
from tests.support.every_kind import every_kind
from tests.support.wide_contracts import many_features, many_values


def faults_of(contract: Contract, request: Any) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidCustomer) as caught:
        CustomerValidator(contract).validate(request)
    return caught.value.errors


def test_example_is_a_customer(contract: Contract) -> None:
    assert CustomerValidator(contract).validate(dict(contract.example)) == contract.example


@pytest.mark.parametrize(("field", "value"), [("months_on_book", 4), ("customer_age", 100)])
def test_documented_values_are_accepted(documented: Contract, field: str, value: int) -> None:
    CustomerValidator(documented).validate({**documented.example, field: value})


def test_whole_float_becomes_an_integer(documented: Contract) -> None:
    customer = CustomerValidator(documented).validate({**documented.example, "customer_age": 50.0})
    assert isinstance(customer["customer_age"], int)


def test_missing_optional_feature_becomes_none(full: Contract) -> None:
    request = {**full.example, "income_category": None}
    del request["marital_status"]
    customer = CustomerValidator(full).validate(request)
    assert customer["income_category"] is None
    assert customer["marital_status"] is None
    assert tuple(customer) == full.feature_names


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("customer_age", True, "wrong_type"),
        ("customer_age", "50", "wrong_type"),
        ("customer_age", 50.5, "wrong_type"),
        ("customer_age", None, "wrong_type"),
        ("customer_age", [50], "wrong_type"),
        ("customer_age", 17, "out_of_range"),
        ("customer_age", 121, "out_of_range"),
        ("customer_age", 10**60, "out_of_range"),
        ("credit_limit", -0.01, "out_of_range"),
        ("gender", "f", "unknown_category"),
        ("gender", 1, "wrong_type"),
        ("gender", {"a": 1}, "wrong_type"),
        ("education_level", 6, "unknown_category"),
        ("education_level", -1, "unknown_category"),
        ("education_level", "Graduate", "wrong_type"),
    ],
)
def test_bad_value_is_reported_at_its_field(
    documented: Contract, field: str, value: Any, code: str
) -> None:
    (fault,) = faults_of(documented, {**documented.example, field: value})
    assert (fault.pointer, fault.code) == (f"/{field}", code)
    assert "must be" in fault.detail


def test_description_gives_exact_limits(documented: Contract) -> None:
    feature = next(f for f in documented.features if isinstance(f, IntegerFeature))
    wide = feature.model_copy(update={"range": (-1234567, 5), "unit": None})
    assert describe(wide) == "a whole number from -1234567 to 5"


def test_missing_and_unknown_fields_are_reported_together(documented: Contract) -> None:
    request: dict[str, Any] = {**documented.example, "a/b~c": 1}
    del request["gender"]
    faults = {(f.pointer, f.code) for f in faults_of(documented, request)}
    assert faults == {("/gender", "missing"), ("/a~1b~0c", "unknown_field")}


@pytest.mark.parametrize("request_", [None, True, 1, "x", [], [{}]])
def test_request_that_is_not_an_object_is_refused(documented: Contract, request_: Any) -> None:
    (fault,) = faults_of(documented, request_)
    assert (fault.pointer, fault.code) == ("", "wrong_type")


def test_number_of_reported_faults_is_limited(documented: Contract) -> None:
    assert len(faults_of(documented, {f"x{i}": i for i in range(100)})) == MAX_ERRORS


def test_errors_cut_long_input(documented: Contract) -> None:
    long = "y" * 10_000
    for fault in faults_of(documented, {**documented.example, long: 1, "gender": long}):
        assert "y" * (MAX_ECHO + 1) not in fault.pointer + fault.detail


def test_error_about_many_values_shows_a_few() -> None:
    """An unknown category's error has some values and their number."""
    contract = Contract.parse(many_values(1000))
    (fault,) = faults_of(contract, {**contract.example, "marital_status": "?"})
    assert '"Merchant 9", ... (1,000 in all)' in fault.detail
    assert len(fault.detail) < 300
    (fault,) = faults_of(contract, {k: v for k, v in contract.example.items() if v != "Merchant 0"})
    assert len(fault.detail) < 300
    schema = customer_schema(contract)["properties"]["marital_status"]
    assert len(schema["description"]) < 300
    assert len(schema["enum"]) == 1000


def test_batch_of_unknown_values_is_refused_at_once() -> None:
    """A thousand faults cost as much as the twenty that are reported."""
    contract = Contract.parse(many_values(3000))
    validator = CustomerValidator(contract)
    batch = [{**contract.example, "marital_status": str(number)} for number in range(1000)]
    began = time.process_time()
    with pytest.raises(InvalidCustomer) as caught:
        validator.validate_batch(batch, most=1000)
    assert time.process_time() - began < 0.5
    assert [f.pointer for f in caught.value.errors] == [
        f"/{number}/marital_status" for number in range(MAX_ERRORS)
    ]


def test_thousands_of_missing_features_are_limited() -> None:
    """An empty request to a model with 5,000 features gets twenty short errors."""
    contract = many_features(5000)
    faults = faults_of(contract, {})
    assert len(faults) == MAX_ERRORS
    assert sum(len(fault.detail) for fault in faults) < 5000


@pytest.mark.parametrize("part", ["n" * 65536, "~" * 65536, "\x00" * 65536, "\U0001f600" * 16384])
def test_pointer_of_long_name_is_cut(documented: Contract, part: str) -> None:
    """A name of 64 KiB is echoed with at most 64 characters, whatever they are."""
    (fault,) = faults_of(documented, {**documented.example, part: 1})
    unescaped = fault.pointer.removeprefix("/").replace("~1", "/").replace("~0", "~")
    assert len(unescaped) <= MAX_ECHO
    assert len(fault.detail) <= MAX_ECHO + len("is not a feature of this model: ")


@pytest.mark.parametrize(
    ("request_", "pointer", "code"),
    [
        ([], "", "too_few"),
        ([{}] * 11, "", "too_many"),
        ({}, "", "wrong_type"),
        ([1], "/0", "wrong_type"),
    ],
)
def test_batch_of_wrong_shape_is_refused(
    documented: Contract, request_: Any, pointer: str, code: str
) -> None:
    with pytest.raises(InvalidCustomer) as caught:
        CustomerValidator(documented).validate_batch(request_, most=10)
    assert (caught.value.errors[0].pointer, caught.value.errors[0].code) == (pointer, code)


def test_batch_fault_names_its_position(documented: Contract) -> None:
    batch = [dict(documented.example), {**documented.example, "gender": "?"}]
    with pytest.raises(InvalidCustomer) as caught:
        CustomerValidator(documented).validate_batch(batch, most=10)
    assert [f.pointer for f in caught.value.errors] == ["/1/gender"]


def test_simulated_customers_are_valid(contract: Contract) -> None:
    without_sample = contract.model_copy(
        update={"data": contract.data.model_copy(update={"sample": None})}
    )
    validator = CustomerValidator(contract)
    for source in (contract, without_sample):
        for customer in CustomerGenerator(source, seed=3).draw(200):
            assert validator.validate(customer) == customer


def test_same_seed_draws_the_same_customers(contract: Contract) -> None:
    draws = [CustomerGenerator(contract, seed=3).draw(20) for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0] != CustomerGenerator(contract, seed=4).draw(20)


def test_no_customer_is_longer_than_the_longest() -> None:
    """Of numbers and categories the longest are counted, and every feature is."""
    for contract in (many_features(500), Contract.parse(many_values(50)), every_kind()):
        longest = longest_customer(contract)
        customers = [dict(contract.example), *valid_customers(contract, 50, random.Random(1))]
        assert all(len(json.dumps(each)) <= longest for each in customers)
