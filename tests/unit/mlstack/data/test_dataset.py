"""Tests of the raw table: cleaned by the contract, or refused with every fault."""

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw, split, unlisted_columns
from mlstack.errors import DataError
from tests.support.raw_tables import raw_table


def faults_of(raw: pd.DataFrame, contract: Contract) -> str:
    with pytest.raises(DataError) as caught:
        clean(raw, contract)
    return str(caught.value)


def test_clean_rows_have_features_and_target(contract: Contract) -> None:
    rows = clean(raw_table(contract, 30), contract)
    assert list(rows.columns) == [*contract.feature_names, contract.target.name]
    assert rows[contract.target.name].sum() == 10


def test_file_is_read_as_text(documented: Contract) -> None:
    raw = raw_table(documented, 9)
    again = read_raw(b"\xef\xbb\xbf" + raw.to_csv(index=False).encode())
    pd.testing.assert_frame_equal(raw, again.frame())


def test_void_value_drops_the_row(documented: Contract) -> None:
    raw = raw_table(documented, 30)
    raw.loc[2, "Education_Level"] = "Unknown"
    assert list(clean(raw, documented).index) == [i for i in range(1, 31) if i != 2]


def test_missing_value_is_kept_where_allowed(full: Contract) -> None:
    raw = raw_table(full, 30)
    raw.loc[2, "Education_Level"] = "Unknown"
    raw.loc[3, "Marital_Status"] = ""
    rows = clean(raw, full)
    assert rows["education_level"].isna().loc[2]
    assert rows.loc[3, "marital_status"] is None


def test_missing_value_is_refused_where_forbidden(full: Contract) -> None:
    raw = raw_table(full, 30)
    raw.loc[4, "Gender"] = "Unknown"
    assert faults_of(raw, full) == "column 'Gender': is missing (1 bad rows; row 4: 'Unknown')"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Customer_Age", "old", "is not a number"),
        ("Customer_Age", "nan", "is not a number"),
        ("Credit_Limit", "inf", "is not a number"),
        ("Customer_Age", "17", "is out of range: 18 to 120"),
        ("Customer_Age", "30.5", "is not a whole number"),
        ("Gender", "X", "is an unknown category; known are 'F', 'M'"),
        ("Income_Category", "much", "is an unknown category"),
        ("Gender", "", "is missing"),
        ("Attrition_Flag", "perhaps", "is an unknown class; known are 'Attrited"),
    ],
)
def test_bad_value_is_refused_with_column_rows_and_reason(
    documented: Contract, column: str, value: str, reason: str
) -> None:
    raw = raw_table(documented, 30)
    raw.loc[range(5, 12), column] = value
    message = faults_of(raw, documented)
    assert message.startswith(f"column '{column}': {reason}")
    rows = ", ".join(f"row {row}: {value!r}" for row in range(5, 10))
    assert f"(7 bad rows; {rows}, ...)" in message


def test_all_faults_are_reported_at_once(documented: Contract) -> None:
    raw = raw_table(documented, 30)
    raw.loc[1, "Customer_Age"] = "old"
    raw.loc[2, "Gender"] = "X"
    raw.loc[3, "Attrition_Flag"] = "?"
    assert len(faults_of(raw, documented).splitlines()) == 3


def test_absent_columns_are_all_named(documented: Contract) -> None:
    message = faults_of(
        raw_table(documented, 9).drop(columns=["Gender", "Credit_Limit"]), documented
    )
    assert message.splitlines() == [
        "column 'Gender': is not in the table",
        "column 'Credit_Limit': is not in the table",
    ]


@pytest.mark.parametrize(
    ("keep", "label"), [("Existing Customer", "Attrited"), ("Attrited Customer", "Existing")]
)
def test_table_of_one_class_is_refused(documented: Contract, keep: str, label: str) -> None:
    raw = raw_table(documented, 30)
    message = faults_of(raw[raw["Attrition_Flag"] == keep], documented)
    assert message == f"column 'Attrition_Flag': no row is '{label} Customer'"


def test_table_of_void_rows_is_refused(documented: Contract) -> None:
    raw = raw_table(documented, 9).assign(Gender="Unknown")
    assert faults_of(raw, documented) == "no row is left after the clean-up"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the table is empty"),
        (b"\n\n", "the table is empty"),
        (b"a,b\n", "a header but no rows"),
        (b"a,b,a\n1,2,3\n", "column 'a': appears twice in the header, as columns 1 and 3"),
        (b"a,b\n1,2,3\n", "the header in line 1 has 2 cells, but the rows have 3"),
        (b'a,b\n"1,2\n', "quoted field that opens in line 2 never closes"),
        (b"a\n\xff\xfe\n", "the file is not in UTF-8: line 2"),
    ],
)
def test_file_that_is_not_a_table_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read_raw(content)


def test_unlisted_column_is_reported(documented: Contract) -> None:
    raw = raw_table(documented, 9).assign(CLIENTNUM="1", Surprise="2")
    assert unlisted_columns(raw, documented) == ["Surprise"]


def test_rows_keep_their_number_in_the_file(documented: Contract) -> None:
    lines = raw_table(documented, 9).to_csv(index=False).splitlines()
    lines[3:3] = ["", ""]
    assert list(read_raw("\n".join(["", *lines, "", ""]).encode()).index) == [1, 2, *range(5, 12)]


def test_added_rows_move_few_others_to_another_part(documented: Contract) -> None:
    rows = clean(raw_table(documented, 3000), documented)
    before, after = split(rows.iloc[:2400], documented), split(rows, documented)
    stayed = set(before.test.index) & set(after.test.index)
    assert len(stayed) > 0.9 * len(before.test)
    assert len(set(after.test.index) & set(before.train.index)) < 0.02 * len(after.test)


def test_split_uses_every_row_once_in_contract_shares(contract: Contract) -> None:
    rows = clean(raw_table(contract, 300), contract)
    parts = split(rows, contract)
    assert [len(part) for part in parts] == [180, 60, 60]
    assert sorted(i for part in parts for i in part.index) == list(rows.index)
    assert [part[contract.target.name].mean() for part in parts] == pytest.approx([1 / 3] * 3)


def test_class_too_small_to_split_is_refused(documented: Contract) -> None:
    rows = clean(raw_table(documented, 300), documented)
    few = pd.concat([rows[rows["churned"] == 1].head(2), rows[rows["churned"] == 0]])
    with pytest.raises(DataError, match="only 2 rows are 'Attrited Customer'"):
        split(few, documented)


def test_rows_without_target_are_left_out_and_counted(documented: Contract) -> None:
    """C2: such a row cannot be learnt from; values elsewhere are judged as ever."""
    raw = raw_table(documented, 30)
    raw.loc[[2, 3, 4, 5], "Attrition_Flag"] = ["NA", "", "NULL", "#N/A"]
    raw.loc[2, "Customer_Age"] = "old"
    said: list[str] = []
    rows = clean(raw, documented, said.append)
    assert list(rows.index) == [1, *range(6, 31)]
    assert said == ["left out: 4 rows without a target (column 'Attrition_Flag')"]


def test_several_raw_values_make_a_class(documented: Contract) -> None:
    """Rows with an ignored value are left out and counted; spelling is canonical as elsewhere."""
    target = documented.target.model_copy(
        update={"positive": ("Left", "Attrited Customer"), "ignored": ("Deceased", "?")}
    )
    raw = raw_table(documented, 30).assign(Attrition_Flag="Existing Customer")
    raw.loc[[1, 2, 3, 4, 5], "Attrition_Flag"] = ["Left ", "Attrited Customer", "Deceased", "?", ""]
    said: list[str] = []
    rows = clean(raw, documented.model_copy(update={"target": target}), said.append)
    assert rows["churned"].tolist() == [1, 1, *[0] * 25]
    assert said == [
        "left out: 2 rows whose target is ignored (column 'Attrition_Flag')",
        "left out: 1 rows without a target (column 'Attrition_Flag')",
    ]


def test_contracts_missing_value_means_no_target(full: Contract) -> None:
    raw = raw_table(full, 30)
    raw.loc[2, "Attrition_Flag"] = "Unknown"
    raw.loc[3, "Marital_Status"] = "Unknown"
    assert list(clean(raw, full).index) == [1, *range(3, 31)]


def test_table_without_any_target_is_refused(documented: Contract) -> None:
    raw = raw_table(documented, 9).assign(Attrition_Flag="NA")
    assert faults_of(raw, documented) == "column 'Attrition_Flag': no row has a target"


def test_faults_of_a_file_name_its_lines(documented: Contract) -> None:
    """A line is what an editor shows: blank lines and line breaks in cells count."""
    raw = raw_table(documented, 9).assign(Notes="a\nb")
    raw.loc[3, "Gender"] = "X"
    content = b"\n" + raw.to_csv(index=False).encode()
    with pytest.raises(DataError, match=r"\(1 bad rows; line 7: 'X'\)"):
        clean(read_raw(content), documented)
