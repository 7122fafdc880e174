"""Posted rows: each is taken, or refused with field and row named."""

from typing import Any

import pytest

from mlstack.contract import Contract
from mlstack.errors import MAX_ERRORS, InvalidRequest
from monitoring.evidently_service.rows import MAX_ROWS, Row, RowReader
from support.customers import contract_named

ID, RUN = "0f8fad5b-d9cb-469f-a165-70867728950e", "a" * 32


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def reader(contract: Contract) -> RowReader:
    return RowReader(contract)


def _row(contract: Contract, **more: Any) -> dict[str, Any]:
    return {**contract.example, "prediction": 0.25, **more}


def test_a_row_needs_features_and_prediction_alone(reader: RowReader, contract: Contract) -> None:
    rows = reader.read([_row(contract)])
    assert rows.taken == [Row(dict(contract.example), 0.25)]
    assert (rows.refused, rows.faults) == (0, ())


def test_a_row_may_say_whose_it_is_and_what_became_of_it(
    reader: RowReader, contract: Contract
) -> None:
    more = {"prediction_id": ID, "model_run_id": RUN}
    rows = reader.read([_row(contract, target=target, **more) for target in (1, True, 0, 1.0)])
    assert [row.target for row in rows.taken] == [1, 1, 0, 1]
    assert {(row.prediction_id, row.run_id) for row in rows.taken} == {(ID, RUN)}


def test_what_is_null_is_not_known(reader: RowReader, contract: Contract) -> None:
    rows = reader.read([_row(contract, target=None, prediction_id=None, model_run_id=None)])
    assert rows.taken == [Row(dict(contract.example), 0.25)]


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
def test_a_row_that_does_not_fit_is_named_and_the_others_are_taken(
    reader: RowReader, contract: Contract, more: dict[str, Any], pointer: str, code: str
) -> None:
    rows = reader.read([_row(contract), _row(contract, **more), _row(contract)])
    assert (len(rows.taken), rows.refused) == (2, 1)
    assert [(fault.pointer, fault.code) for fault in rows.faults] == [(pointer, code)]


def test_what_is_missing_is_named(reader: RowReader, contract: Contract) -> None:
    row = _row(contract)
    del row["prediction"], row["gender"]
    rows = reader.read([row])
    assert {(f.pointer, f.code) for f in rows.faults} == {
        ("/0/prediction", "missing"),
        ("/0/gender", "missing"),
    }


def test_faults_are_named_up_to_a_limit_and_rows_counted_beyond(
    reader: RowReader, contract: Contract
) -> None:
    rows = reader.read([_row(contract, prediction=2)] * 50 + [1, "x", None])
    assert (rows.taken, rows.refused, len(rows.faults)) == ([], 53, MAX_ERRORS)


@pytest.mark.parametrize("document", [{}, None, "rows", 1])
def test_what_is_no_array_is_refused_as_a_whole(reader: RowReader, document: Any) -> None:
    with pytest.raises(InvalidRequest, match="must be an array of rows"):
        reader.read(document)


def test_too_many_rows_are_refused_as_a_whole(reader: RowReader) -> None:
    with pytest.raises(InvalidRequest, match=f"may have {MAX_ROWS} rows"):
        reader.read([None] * (MAX_ROWS + 1))


def test_no_rows_are_no_fault(reader: RowReader) -> None:
    assert reader.read([]).taken == []
