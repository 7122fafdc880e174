"""Tests of categories with `other`: rare and unknown texts become one value."""

import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator, customer_schema
from mlstack.data.dataset import clean
from mlstack.errors import ContractError, DataError, InvalidCustomer
from mlstack.model.encoder import Encoder
from tests.support.every_kind import TEXT, every_kind
from tests.support.raw_tables import raw_table


def test_unlisted_raw_value_becomes_other() -> None:
    """Rare values of the table train the `other` column, and their number is said."""
    contract = every_kind()
    raw = raw_table(contract, 30)
    raw["Country"] = "DE"
    raw.loc[[2, 3], "Country"] = ["FR", "Elbonia"]
    raw.loc[4, "Country"] = ""
    said = list[str]()
    rows = clean(raw, contract, said.append)
    assert rows["country"].loc[1:4].tolist() == ["home", "elsewhere", "elsewhere", None]
    assert said == ["2 rows have an unlisted value of 'Country': 'elsewhere'"]


@pytest.mark.parametrize("text", ["NA", "null", "None"])
def test_nothing_is_not_taken_for_a_rare_value(text: str) -> None:
    """What exports write for 'no value' is refused until the contract says what it means."""
    contract = every_kind()
    raw = raw_table(contract, 30)
    raw.loc[2, "Country"] = text
    with pytest.raises(DataError, match="list it in the contract under missing_values"):
        clean(raw, contract)


def test_unknown_text_of_a_request_becomes_other() -> None:
    """It is encoded and kept as `other`: what was really sent is no new category."""
    contract = every_kind()
    customer = CustomerValidator(contract).validate({**contract.example, "country": "Elbonia"})
    assert customer["country"] == "elsewhere"
    encoder = Encoder(contract)
    row = dict(zip(encoder.columns, encoder.encode([customer])[0].tolist(), strict=True))
    assert row["country=elsewhere"] == 1


@pytest.mark.parametrize(("value", "code"), [(7, "wrong_type"), ("", "unknown_category")])
def test_other_takes_only_texts(value: object, code: str) -> None:
    contract = every_kind()
    with pytest.raises(InvalidCustomer) as caught:
        CustomerValidator(contract).validate({**contract.example, "country": value})
    (error,) = caught.value.errors
    assert (error.pointer, error.code) == ("/country", code)
    assert 'or another text, which counts as "elsewhere"' in error.detail


def test_missing_value_stays_missing_beside_other() -> None:
    contract = every_kind()
    validator = CustomerValidator(contract)
    assert validator.validate({**contract.example, "country": None})["country"] is None


def test_schema_lists_values_as_examples_beside_other() -> None:
    """An enum would tell callers that nothing else is accepted."""
    schema = customer_schema(every_kind())["properties"]["country"]
    assert "enum" not in schema
    assert schema["examples"] == ["home", "near", "elsewhere"]


def test_other_must_be_one_of_the_values() -> None:
    with pytest.raises(ContractError, match="other of 'country' is not one of its values: 'x'"):
        Contract.parse(TEXT.replace("other: elsewhere", "other: x"))


def test_digest_covers_other_only_if_set() -> None:
    without = TEXT.replace("    other: elsewhere\n", "").replace("CH: near", "CH: elsewhere")
    given = without.replace(
        "missing: allow\n    meaning: Where", "missing: allow\n    other: home\n    meaning: Where"
    )
    assert Contract.parse(without).digest != Contract.parse(given).digest
