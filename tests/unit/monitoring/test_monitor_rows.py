"""Posted rows: each is taken, or refused with the row and field named."""

import time
from typing import Any

import pytest

from mlstack.contract import Contract
from mlstack.errors import MAX_ERRORS, InvalidRequest
from monitoring.evidently_service.rows import MAX_ROWS, Row, RowReader
from tests.support.customers import contract_named
from tests.support.wide_contracts import many_values

ID, RUN = "0f8fad5b-d9cb-469f-a165-70867728950e", "a" * 32


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def reader(contract: Contract) -> RowReader:
    return RowReader(contract)


def _row(contract: Contract, **more: Any) -> dict[str, Any]:
    return {**contract.example, "prediction": 0.25, **more}


def test_row_needs_features_and_prediction(reader: RowReader, contract: Contract) -> None:
    """All other fields are optional."""
    rows = reader.read([_row(contract)])
    assert rows.accepted == [Row(dict(contract.example), 0.25)]
    assert (rows.refused, rows.faults) == (0, ())


def test_row_may_have_ids_and_outcome(reader: RowReader, contract: Contract) -> None:
    """Prediction id, run id and outcome are read; an outcome may be a number or a boolean."""
    more = {"prediction_id": ID, "model_run_id": RUN}
    rows = reader.read([_row(contract, target=target, **more) for target in (1, True, 0, 1.0)])
    assert [row.target for row in rows.accepted] == [1, 1, 0, 1]
    assert {(row.prediction_id, row.run_id) for row in rows.accepted} == {(ID, RUN)}


def test_null_counts_as_unknown(reader: RowReader, contract: Contract) -> None:
    """An optional field that is null is like an absent one."""
    rows = reader.read([_row(contract, target=None, prediction_id=None, model_run_id=None)])
    assert rows.accepted == [Row(dict(contract.example), 0.25)]


@pytest.mark.parametrize(
    ("more", "pointer", "code"),
    [
        ({"prediction": 1.5}, "/1/prediction", "out_of_range"),
        ({"prediction": True}, "/1/prediction", "out_of_range"),
        ({"prediction": None}, "/1/prediction", "out_of_range"),
        ({"prediction": "0.5"}, "/1/prediction", "out_of_range"),
        ({"target": 2}, "/1/target", "out_of_range"),
        ({"target": "1"}, "/1/target", "out_of_range"),
        ({"prediction_id": "x"}, "/1/prediction_id", "wrong_format"),
        ({"prediction_id": 7}, "/1/prediction_id", "wrong_format"),
        ({"model_run_id": "A" * 32}, "/1/model_run_id", "wrong_format"),
        ({"customer_age": 17}, "/1/customer_age", "out_of_range"),
        ({"gender": None}, "/1/gender", "wrong_type"),
        ({"card_category": "brass"}, "/1/card_category", "unknown_category"),
        ({"surprise": 1}, "/1/surprise", "unknown_field"),
    ],
)
def test_invalid_row_is_refused_alone(
    reader: RowReader, contract: Contract, more: dict[str, Any], pointer: str, code: str
) -> None:
    """Its fault is named by row and field; the other rows are taken."""
    rows = reader.read([_row(contract), _row(contract, **more), _row(contract)])
    assert (len(rows.accepted), rows.refused) == (2, 1)
    assert [(fault.pointer, fault.code) for fault in rows.faults] == [(pointer, code)]


def test_missing_fields_are_named(reader: RowReader, contract: Contract) -> None:
    """Each missing field is a fault of its own."""
    row = _row(contract)
    del row["prediction"], row["gender"]
    rows = reader.read([row])
    assert {(f.pointer, f.code) for f in rows.faults} == {
        ("/0/prediction", "missing"),
        ("/0/gender", "missing"),
    }


def test_faults_are_limited(reader: RowReader, contract: Contract) -> None:
    """Beyond the limit, refused rows are only counted."""
    rows = reader.read([_row(contract, prediction=2)] * 50 + [1, "x", None])
    assert (rows.accepted, rows.refused, len(rows.faults)) == ([], 53, MAX_ERRORS)


def test_thousands_of_bad_rows_are_refused_at_once() -> None:
    """Only the reported errors are described: the others are counted."""
    contract = Contract.parse(many_values(3000))
    row = {**contract.example, "marital_status": "?", "prediction": 0.5}
    began = time.process_time()
    rows = RowReader(contract).read([row] * 5000)
    assert time.process_time() - began < 1
    assert (rows.refused, len(rows.faults)) == (5000, MAX_ERRORS)


@pytest.mark.parametrize("document", [{}, None, "rows", 1])
def test_only_an_array_is_read(reader: RowReader, document: Any) -> None:
    """Any other document is refused as a whole."""
    with pytest.raises(InvalidRequest, match="must be a JSON array of rows"):
        reader.read(document)


def test_too_many_rows_are_refused(reader: RowReader) -> None:
    """Above the limit, no row is taken."""
    with pytest.raises(InvalidRequest, match=f"must have 0 to {MAX_ROWS} rows"):
        reader.read([None] * (MAX_ROWS + 1))


def test_empty_array_is_valid(reader: RowReader) -> None:
    """It has no rows and no faults."""
    assert reader.read([]).accepted == []
