"""Tests of booleans and dates in a contract, in requests and in drifts."""

from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator, customer_schema
from mlstack.contract.drifts import DriftingCustomers, load_drifts
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.errors import ContractError, DriftError, InvalidCustomer
from tests.support.bad_requests import bad_values
from tests.support.every_kind import TEXT, every_kind

CASES = [(f.name, *bad) for f in every_kind().features for bad in bad_values(f)]


def drifts_of(tmp_path: Path, change: str) -> DriftingCustomers:
    file = tmp_path / "parcels.drifts.yaml"
    file.write_text(
        "contract: parcels\n"
        f"drifts: {{later: {{meaning: A change, share: 1.0, features: {{{change}}}}}}}\n"
    )
    contract = every_kind()
    return DriftingCustomers(contract, load_drifts(contract, file)["later"], seed=1)


@pytest.mark.parametrize(("name", "about", "value", "code"), CASES)
def test_bad_value_of_each_kind_is_refused(name: str, about: str, value: object, code: str) -> None:
    """Every kind refuses what it never takes, with the field and a stable code."""
    contract = every_kind()
    with pytest.raises(InvalidCustomer) as caught:
        CustomerValidator(contract).validate({**contract.example, name: value})
    assert [(e.pointer, e.code) for e in caught.value.errors] == [(f"/{name}", code)], about


def test_drawn_customers_of_each_kind_are_valid() -> None:
    """What simulators draw is accepted as it is."""
    contract = every_kind()
    validator = CustomerValidator(contract)
    for customer in CustomerGenerator(contract, seed=3).draw(100):
        assert validator.validate(customer) == customer


def test_schema_describes_booleans_and_dates() -> None:
    properties = customer_schema(every_kind())["properties"]
    assert properties["insured"]["type"] == ["boolean", "null"]
    assert properties["ordered"] == {
        "type": ["string", "null"],
        "format": "date",
        "formatMinimum": "2020-01-01",
        "formatMaximum": "2030-12-31",
        "description": (
            "Day of the order: a date (YYYY-MM-DD) from 2020-01-01 to 2030-12-31, or null"
        ),
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("    since: ordered\n", "", "a model would never see 'delivered'"),
        ("since: ordered", "since: weight", "'weight' is not a date among the features"),
        ("since: ordered", "since: delivered", "'delivered' are counted in a circle"),
        ("raw: Ordered", "raw: Ordered\n    since: delivered", "are counted in a circle"),
        ("range: [2020-01-01, 2030-12-31]", "range: [2020-01-01, 2019-12-31]", "is empty"),
        ("range: [2020-01-01, 2030-12-31]", "range: [2020-01-01, 2030-02-30]", "YYYY-MM-DD"),
        ("example: 2024-02-29", "example: 2019-12-31", "outside its range"),
        ('format: "%d.%m.%Y"', 'format: "%d.%m"', "does not tell year, month and day"),
        ('format: "%d.%m.%Y"', "format: day", "does not tell year, month and day"),
        ("{Y: true, N: false}", "{Y: true}", "no raw value of 'insured' maps to false"),
        ("{Y: true, N: false}", "{Y: 1, N: 0}", "valid boolean"),
    ],
)
def test_mistake_in_a_boolean_or_date_is_refused(old: str, new: str, reason: str) -> None:
    assert old in TEXT
    with pytest.raises(ContractError, match=reason) as caught:
        Contract.parse(TEXT.replace(old, new, 1))
    assert caught.value.line


def test_base_of_dates_is_no_column_of_a_model() -> None:
    contract = every_kind()
    assert "ordered" in contract.feature_names
    assert "ordered" not in [feature.name for feature in contract.model_features]


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ("delivered: {add: 3}", "delivered", "2024-03-03"),
        ("delivered: {add: -90000}", "delivered", "2020-01-01"),
        ("ordered: {fix: 2025-01-31}", "ordered", "2025-01-31"),
        ("insured: {fix: false}", "insured", False),
        ("insured: {replace: {from: [true], to: false}}", "insured", False),
    ],
)
def test_drift_changes_booleans_and_dates(
    tmp_path: Path, change: str, name: str, value: object
) -> None:
    """A date moves by days and stays in its range; a boolean is replaced or fixed."""
    (customer,) = drifts_of(tmp_path, change).apply([dict(every_kind().example)])
    assert customer[name] == value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("delivered: {add: 1.5}", "requires a whole number"),
        ("delivered: {multiply: 2}", "supports only add, fix"),
        ("delivered: {fix: 2031-01-01}", "must be a date"),
        ("insured: {add: 1}", "supports only replace, fix"),
        ("insured: {fix: 1}", "must be true or false"),
    ],
)
def test_drift_that_no_boolean_or_date_takes_is_refused(
    tmp_path: Path, change: str, reason: str
) -> None:
    with pytest.raises(DriftError, match=reason):
        drifts_of(tmp_path, change)
