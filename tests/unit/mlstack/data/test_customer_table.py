"""Tests of customers as tables: the same types for every source."""

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.data.customer_table import customer_table
from mlstack.model.encoder import Encoder
from tests.support.contracts import CONTRACTS
from tests.support.customers import contract_named
from tests.support.raw_tables import raw_table


@pytest.fixture(params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    return contract_named(request.param)


def test_table_written_as_text_is_read_back_unchanged(contract: Contract) -> None:
    clean = dataset.clean(raw_table(contract, rows=200), contract)[list(contract.feature_names)]
    text = clean.astype(object).map(lambda value: None if pd.isna(value) else str(value))
    pd.testing.assert_frame_equal(customer_table(text, contract), clean)


def test_requests_and_tables_are_encoded_alike(contract: Contract) -> None:
    customers = [dict(contract.example) for _ in range(3)]
    for feature in contract.features:
        if feature.may_be_missing:
            del customers[1][feature.name]
    encoder = Encoder(contract)
    encoded = encoder.encode_frame(customer_table(customers, contract))
    assert encoded.tobytes() == encoder.encode(customers).tobytes()


def test_no_customers_make_a_table_without_rows(contract: Contract) -> None:
    table = customer_table([], contract)
    assert table.shape == (0, len(contract.features))


def test_other_keys_are_left_out(contract: Contract) -> None:
    table = customer_table([{**contract.example, "prediction": 0.5}], contract)
    assert tuple(table.columns) == contract.feature_names
