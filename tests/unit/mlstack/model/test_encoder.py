"""Tests of the encoder: training and serving see the same numbers."""

from typing import Any

import numpy as np
import pandas as pd

from mlstack.contract import Contract
from mlstack.data.dataset import clean
from mlstack.model.encoder import Encoder
from tests.support.raw_tables import raw_table


def test_table_and_customers_are_encoded_alike(contract: Contract) -> None:
    rows = clean(raw_table(contract, 50), contract)
    for feature in contract.features:
        if feature.may_be_missing:
            rows[feature.name] = rows[feature.name].astype(object)
            rows.loc[7, feature.name] = None
    features = rows[list(contract.feature_names)].astype(object)
    customers: Any = features.where(features.notna(), None).to_dict("records")
    encoder = Encoder(contract)
    matrix = encoder.encode(customers)
    assert matrix.dtype == np.float32
    assert matrix.shape == (50, len(encoder.columns))
    np.testing.assert_array_equal(matrix, encoder.encode_frame(rows))


def test_documented_example_is_encoded_as_documented(documented: Contract) -> None:
    encoder = Encoder(documented)
    row = dict(zip(encoder.columns, encoder.encode([documented.example])[0], strict=True))
    assert row["customer_age"] == 50
    assert (row["gender=F"], row["gender=M"]) == (0, 1)
    assert len(encoder.columns) == 17


def test_missing_values_are_nan_in_all_their_columns(full: Contract) -> None:
    encoder = Encoder(full)
    customer = {**full.example, "education_level": None}
    del customer["marital_status"]
    row = pd.Series(encoder.encode([customer])[0], index=encoder.columns)
    missing = ["education_level"] + [
        f"marital_status={v}" for v in ("married", "single", "divorced")
    ]
    assert sorted(row[row.isna()].index) == sorted(missing)


def test_no_customers_make_an_empty_matrix(documented: Contract) -> None:
    assert Encoder(documented).encode([]).shape == (0, 17)
