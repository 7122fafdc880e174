"""The target's column of a raw table, of each kind."""

from typing import Any

import pytest

from mlstack.data.outcome_table import outcome_table, summary
from mlstack.data.splitting import split
from mlstack.data.training_rows import clean
from mlstack.errors import DataError
from tests.support.target_kinds import contract_of, raw_rows


def test_numbers_of_a_target_are_read_like_a_feature() -> None:
    """Decimal commas are understood; rows without a number are left out and counted."""
    contract = contract_of("regression")
    raw = raw_rows("regression", 60).assign(Minutes="12,5")
    raw.loc[:2, "Minutes"] = ["NA", "", "1.234,5"[2:]]
    said: list[str] = []
    rows = clean(raw, contract, said.append)
    assert said == ["left out: 2 rows without a target (column 'Minutes')"]
    assert rows["minutes"].tolist() == [234.5, *[12.5] * 57]


@pytest.mark.parametrize(
    ("value", "reason"), [("late", "not a number"), ("501", "is out of range: 0.0 to 500.0")]
)
def test_bad_number_of_a_target_is_refused(value: str, reason: str) -> None:
    """The fault names column and row."""
    raw = raw_rows("regression", 60)
    raw.loc[7, "Minutes"] = value
    with pytest.raises(DataError, match=rf"column 'Minutes': .*{reason}.*row 7"):
        clean(raw, contract_of("regression"))


def test_constant_target_is_refused() -> None:
    """Nothing can be learnt from it."""
    with pytest.raises(DataError, match="every row has the same target, 5"):
        clean(raw_rows("regression", 60).assign(Minutes="5"), contract_of("regression"))


def test_classes_of_a_target_become_labels() -> None:
    """Several raw values may stand for a class; ignored ones are left out and counted."""
    contract = contract_of("multiclass")
    raw = raw_rows("multiclass", 200)
    raw.loc[:4, "Outcome"] = ["d", "D ", "R", "?", "L"]
    said: list[str] = []
    rows = clean(raw, contract, said.append)
    assert rows["outcome"].head(4).tolist() == ["delivered", "delivered", "returned", "lost"]
    assert said == ["left out: 1 rows whose target is ignored (column 'Outcome')"]
    raw.loc[9, "Outcome"] = "burnt"
    with pytest.raises(DataError, match="is an unknown class; known are 'D', 'd', 'R', 'L'"):
        clean(raw, contract)


def test_class_without_rows_is_refused() -> None:
    """A model cannot learn a class that does not occur."""
    raw = raw_rows("multiclass", 200)
    with pytest.raises(DataError, match="no row is 'R'"):
        clean(raw[raw["Outcome"] != "R"], contract_of("multiclass"))


def test_split_is_stratified_by_class() -> None:
    """Each part has each class's share; numbers are split by their rows' hash alone."""
    contract = contract_of("multiclass")
    rows = clean(raw_rows("multiclass", 1000), contract)
    shares = [
        part["outcome"].value_counts(normalize=True)["lost"] for part in split(rows, contract)
    ]
    assert max(shares) - min(shares) < 0.01
    contract = contract_of("regression")
    rows = clean(raw_rows("regression", 1000), contract)
    before, after = split(rows.head(900), contract), split(rows, contract)
    assert [len(part) for part in after] == [600, 200, 200]
    assert len(set(after.test.index) & set(before.train.index)) < 5


def test_rare_class_is_refused_before_the_search() -> None:
    """Each part needs a row of it."""
    raw = raw_rows("multiclass", 200).assign(Outcome="D")
    raw.loc[:3, "Outcome"] = ["L", "L", "R", "R"]
    contract = contract_of("multiclass")
    with pytest.raises(DataError, match="only 2 rows are 'R': too few for training"):
        split(clean(raw, contract), contract)


def test_summary_counts_classes_and_quarters_numbers() -> None:
    """It is one line of the training's log."""
    rows = clean(raw_rows("multiclass", 500), contract_of("multiclass"))
    counts = rows["outcome"].value_counts()
    said = summary(contract_of("multiclass").target, rows["outcome"])
    assert said.startswith(f"delivered in {counts['delivered']}, returned in")
    rows = clean(raw_rows("regression", 500), contract_of("regression"))
    assert "quartiles" in summary(contract_of("regression").target, rows["minutes"])


def test_stored_predictions_become_columns() -> None:
    """Unknown outcomes are missing; classes have their probabilities."""
    documents: list[dict[str, Any]] = [
        {"prediction": "lost", "target": None, "_more": {"probabilities": [0.1, 0.2, 0.7]}},
        {"prediction": "returned", "target": "lost", "_more": {"probabilities": [0.1, 0.5, 0.4]}},
    ]
    table = outcome_table(documents, contract_of("multiclass").target)
    assert table["target"].tolist() == [None, "lost"]
    assert table["_more.probabilities"].tolist() == [(0.1, 0.2, 0.7), (0.1, 0.5, 0.4)]
    table = outcome_table(
        [{"prediction": 3}, {"prediction": 4.5, "target": 5}], contract_of("regression").target
    )
    assert table["prediction"].tolist() == [3, 4.5]
    assert table["target"].isna().tolist() == [True, False]
