"""Tests of booleans and dates in tables: cleaned, encoded, drawn again and watched."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.data.dataset import clean, split
from mlstack.data.marginals import Marginals
from mlstack.errors import DataError
from mlstack.model.encoder import Encoder
from mlstack.quality.drift import DriftDetector
from tests.support.every_kind import TEXT, every_kind
from tests.support.raw_tables import raw_table

GAPS = ["Insured", "Delivered", "Ordered", "Size", "Weight", "Country"]


def gappy_table(rows: int) -> pd.DataFrame:
    raw = raw_table(every_kind(), rows)
    for position, column in enumerate(GAPS):
        raw.loc[position + 5 :: 11, column] = ""
    return raw


def test_raw_dates_and_booleans_are_read() -> None:
    """Dates are texts in tables whatever their raw format; a time of day is left out."""
    raw = raw_table(every_kind(), 30)
    raw.loc[[1, 2, 3], "Ordered"] = ["2024-02-28", "2024-02-28 23:59:59.5", "2024-02-28T00:00Z"]
    raw.loc[[1, 2, 3], "Delivered"] = ["01.03.2024", "28.2.2024", ""]
    raw.loc[[1, 2, 3], "Insured"] = ["Y", "N", ""]
    rows = clean(raw, every_kind())
    assert rows["ordered"].loc[1:3].tolist() == ["2024-02-28"] * 3
    assert rows["delivered"].loc[1:3].tolist() == ["2024-03-01", "2024-02-28", None]
    assert rows["insured"].loc[1:2].tolist() == [1, 0]
    assert rows["insured"].isna().loc[3]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Ordered", "2024-02-30", "is not a date (YYYY-MM-DD)"),
        ("Ordered", "28.02.2024", "is not a date (YYYY-MM-DD)"),
        ("Ordered", "2019-12-31", "is out of range: 2020-01-01 to 2030-12-31"),
        ("Delivered", "2024-02-28", "is not a date (%d.%m.%Y)"),
        ("Delivered", "31.02.2024", "is not a date (%d.%m.%Y)"),
        ("Delivered", "01.03.24", "is out of range"),
        ("Ordered", "NA", "is not a date (YYYY-MM-DD); if it means 'missing', list it"),
        ("Insured", "maybe", "is an unknown category; known are 'Y', 'N'"),
    ],
)
def test_bad_date_or_boolean_is_refused(column: str, value: str, reason: str) -> None:
    raw = raw_table(every_kind(), 30)
    raw.loc[4, column] = value
    with pytest.raises(DataError) as caught:
        clean(raw, every_kind())
    assert str(caught.value).startswith(f"column '{column}': {reason}")


def test_boolean_reads_true_and_false_by_default() -> None:
    """Programs write them in small letters, in capitals or with one."""
    contract = Contract.parse(TEXT.replace("    raw_values: {Y: true, N: false}\n", ""))
    raw = raw_table(contract, 30)
    raw.loc[1:4, "Insured"] = ["true", "False", "TRUE", "FALSE"]
    assert clean(raw, contract)["insured"].loc[1:4].tolist() == [1, 0, 1, 0]


def test_missing_date_is_refused_where_forbidden() -> None:
    contract = Contract.parse(
        TEXT.replace("missing: allow\n    meaning: Day", "missing: refuse\n    meaning: Day")
    )
    raw = raw_table(contract, 30)
    raw.loc[4, "Ordered"] = ""
    with pytest.raises(DataError, match="column 'Ordered': is missing"):
        clean(raw, contract)


def test_model_sees_days_since_the_base() -> None:
    """They are negative before it, and missing if either date is."""
    contract = every_kind()
    encoder = Encoder(contract)
    assert [c for c in encoder.columns if "ordered" in c] == []
    column = encoder.columns.index("delivered")
    customers: list[Mapping[str, Any]] = [
        {**contract.example, "ordered": "2024-02-28", "delivered": "2024-03-01"},
        {**contract.example, "ordered": "2024-02-28", "delivered": "2023-02-28"},
        {**contract.example, "ordered": None},
        {**contract.example, "delivered": None},
    ]
    days = encoder.encode(customers)[:, column]
    np.testing.assert_array_equal(days, np.array([2, -365, np.nan, np.nan]))
    frame = customer_table(customers, contract)
    np.testing.assert_array_equal(encoder.encode_frame(frame), encoder.encode(customers))


def test_table_customers_and_their_csv_are_encoded_alike() -> None:
    """Training rows, the same as customers, and as the reference keeps them."""
    contract = every_kind()
    rows = clean(gappy_table(60), contract)
    encoder = Encoder(contract)
    matrix = encoder.encode_frame(rows)
    names = list(contract.feature_names)
    objects = rows[names].astype(object)
    records: Any = objects.where(objects.notna(), None).to_dict("records")
    insured = {1: True, 0: False, None: None}
    customers = [{**record, "insured": insured[record["insured"]]} for record in records]
    np.testing.assert_array_equal(encoder.encode(customers), matrix)
    again = customer_table(customers, contract)
    np.testing.assert_array_equal(encoder.encode_frame(again), matrix)
    written = objects.astype("str").where(objects.notna(), None)
    kept = customer_table(written, contract)
    np.testing.assert_array_equal(encoder.encode_frame(kept), matrix)
    assert sum(map(len, split(rows, contract))) == len(rows)


def test_marginals_keep_the_days_between_dates() -> None:
    """Simulated customers would else drift from the first one on."""
    contract = every_kind()
    raw = raw_table(contract, 400)
    raw["Ordered"] = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(400)]
    ordered = pd.to_datetime(raw["Ordered"])
    delays = pd.to_timedelta(np.arange(400) % 10, unit="D")
    raw["Delivered"] = (ordered + delays).dt.strftime("%d.%m.%Y")
    raw.loc[::7, "Insured"] = ""
    rows = clean(raw, contract)
    marginals = Marginals.model_validate_json(Marginals.fit(rows, contract).text())
    validator, chance = CustomerValidator(contract), random.Random(1)
    drawn = [validator.validate(marginals.draw(contract, chance)) for _ in range(400)]
    assert {customer["insured"] for customer in drawn} == {True, False, None}
    reference = rows.assign(**{PREDICTION: 0.5})
    found = DriftDetector(contract, reference).compare_features(customer_table(drawn, contract))
    assert found.drifted_features == ()


def test_drift_watches_days_and_not_their_base() -> None:
    """Later deliveries drift; orders of another year with the same delays do not."""
    contract = every_kind()
    drawn = CustomerGenerator(contract, seed=1).draw(1000)
    before = [
        {**c, "ordered": "2021-06-01", "delivered": f"2021-06-{1 + i % 9:02}"}
        for i, c in enumerate(drawn)
    ]
    year = [
        {**c, "ordered": "2023-06-01", "delivered": f"2023-06-{1 + i % 9:02}"}
        for i, c in enumerate(drawn)
    ]
    late = [{**c, "delivered": f"2021-06-{9 + i % 9:02}"} for i, c in enumerate(before)]
    detector = DriftDetector(contract, customer_table(before, contract).assign(**{PREDICTION: 0.5}))
    same = detector.compare_features(customer_table(year, contract))
    assert (same.drifted_features, len(same.features)) == ((), 6)
    later = detector.compare_features(customer_table(late, contract))
    assert later.drifted_features == ("delivered",)


def test_switched_boolean_drifts() -> None:
    contract = every_kind()
    drawn = CustomerGenerator(contract, seed=1).draw(1000)
    detector = DriftDetector(contract, customer_table(drawn, contract).assign(**{PREDICTION: 0.5}))
    switched = customer_table([{**c, "insured": True} for c in drawn], contract)
    assert detector.compare_features(switched).drifted_features == ("insured",)
