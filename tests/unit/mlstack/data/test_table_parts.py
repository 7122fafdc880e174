"""A table read part by part has the rows and the numbers of the whole one."""

import codecs
import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data import table_parts
from mlstack.data.dataset import clean, read_raw
from mlstack.data.judging import judge, prove_numbers
from mlstack.data.number_columns import NumberProof
from mlstack.data.table_parts import read_parts
from mlstack.errors import DataError
from tests.support.raw_tables import raw_table


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_parts, "_CHARACTERS", 500)
    monkeypatch.setattr(table_parts, "_ROWS", 7)


def whole(path: Path) -> tuple[pd.DataFrame, list[int] | None]:
    table = read_raw(path)
    return table.frame(), None if table.lines is None else table.lines.tolist()


def joined(path: Path) -> tuple[pd.DataFrame, list[int] | None]:
    parts = list(read_parts(path))
    assert len(parts) > 3
    lines = [line for part in parts if part.lines is not None for line in part.lines.tolist()]
    return pd.concat([part.frame() for part in parts]), lines or None


def text(documented: Contract) -> str:
    """A file with quoted line breaks, blank rows, spaces and a column without a name."""
    raw = raw_table(documented, 60)
    raw["Notes"] = ['two\nlines, and "quotes"' if i % 7 == 0 else "é" for i in range(60)]
    raw[""] = ""
    lines = raw.to_csv(index=False).replace(",é,", ", é ,").splitlines()
    count = raw.shape[1] - 1
    return "\n".join(["", *lines[:20], "", "  ", *lines[20:30], "," * count, *lines[30:]])


@pytest.mark.parametrize(
    "encode",
    [
        str.encode,
        lambda content: content.replace("\n", "\r\n").encode(),
        lambda content: codecs.BOM_UTF8 + content.encode() + b"\n\n",
        lambda content: content.encode("utf-16"),
        lambda content: gzip.compress(content.encode()),
        lambda content: content.replace(",", ";").encode(),
        lambda content: ("sep=|\n" + content.strip().replace(",", "|")).encode(),
    ],
)
def test_parts_of_a_text_are_the_whole(
    tmp_path: Path, documented: Contract, encode: Callable[[str], bytes]
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(encode(text(documented)))
    (expected, lines), (found, found_lines) = whole(path), joined(path)
    pd.testing.assert_frame_equal(found, expected, check_index_type=False)
    assert found_lines == lines


def test_parts_of_parquet_are_the_whole(tmp_path: Path, documented: Contract) -> None:
    """A file and a folder, whose second file goes on counting."""
    raw = raw_table(documented, 60)
    (tmp_path / "folder").mkdir()
    for name, rows in (("a, hive", raw), ("folder/1", raw[:25]), ("folder/2", raw[25:])):
        rows.to_parquet(tmp_path / f"{name}.parquet", index=False)
    for path in (tmp_path / "a, hive.parquet", tmp_path / "folder"):
        expected, _ = whole(path)
        found, _ = joined(path)
        pd.testing.assert_frame_equal(found, expected, check_index_type=False)


def test_path_of_parquet_is_no_pattern(tmp_path: Path, documented: Contract) -> None:
    """A file is read, and none that its name would match as a pattern."""
    raw = raw_table(documented, 60)
    raw[:20].to_parquet(tmp_path / "may[1].parquet", index=False)
    raw[20:].to_parquet(tmp_path / "may1.parquet", index=False)
    assert sum(map(len, read_parts(tmp_path / "may[1].parquet"))) == 20


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"a,b\n" + b"1,2\n" * 500 + b'1,"2\n' + b"1,2\n" * 500, "opens in line 502 never closes"),
        (b"a,b\n" + b"1,2\n" * 500 + b"1\n", "line 502: '1 cells'"),
        (b"a,b\n" + b"1,2\n" * 500 + b"\xff,2\n", "not in UTF-8 after line"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 500, mtime=0)[:-9], "damaged or cut off"),
        (b"a,b\n", "a header but no rows"),
        (b"", "the table is empty"),
        (b" \n\n", "the table is empty"),
        (
            gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0),
            "compressed with gzip twice",
        ),
        (b"PAR1rest", "Parquet file is damaged"),
        (b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml", "is an Excel workbook"),
    ],
)
def test_bad_file_is_refused_by_line(tmp_path: Path, content: bytes, cause: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(DataError, match=cause):
        list(read_parts(tmp_path / "table.csv"))


def test_verdict_is_that_of_the_clean_up(full: Contract) -> None:
    """Rows fit exactly if training takes them; the target does not matter."""
    raw = raw_table(full, 60)
    expected = clean(raw, full)
    judged = judge(read_raw(raw.drop(columns="Attrition_Flag").to_csv(index=False).encode()), full)
    pd.testing.assert_frame_equal(
        judged.rows, expected.drop(columns="churned"), check_index_type=False
    )
    assert not judged.misfits


def test_rows_that_do_not_fit_have_reasons(documented: Contract) -> None:
    """Each with every column and why; the others are cleaned as if they were alone."""
    raw = raw_table(documented, 30)
    raw.loc[3, "Customer_Age"] = "17"
    raw.loc[3, "Gender"] = "X"
    raw.loc[8, "Customer_Age"] = "old"
    raw.loc[9, "Customer_Age"] = ""
    raw.loc[20, "Customer_Age"] = "40.5"
    judged = judge(read_raw(raw.to_csv(index=False).encode()), documented)
    low, high = next(f.range for f in documented.features if f.raw == "Customer_Age")  # type: ignore[union-attr]
    assert judged.misfits == {
        3: f"column 'Customer_Age': is out of range: {low} to {high} ('17'); "
        "column 'Gender': is an unknown category; known are 'F', 'M' ('X')",
        8: "column 'Customer_Age': is not a number ('old')",
        9: "column 'Customer_Age': is missing",
        20: "column 'Customer_Age': is not a whole number ('40.5')",
    }
    good = raw.drop(index=[3, 8, 9, 20])
    pd.testing.assert_frame_equal(
        judged.rows, clean(good, documented).drop(columns="churned"), check_dtype=False
    )


def test_absent_column_is_refused(documented: Contract) -> None:
    raw = raw_table(documented, 30).drop(columns="Gender")
    with pytest.raises(DataError, match="'Gender': is not in the table"):
        judge(read_raw(raw.to_csv(index=False).encode()), documented)


def test_notation_of_numbers_is_proven_by_all_parts(tmp_path: Path, full: Contract) -> None:
    """A part whose points could be decimals is read as the others prove."""
    feature = next(f for f in full.features if f.raw == "Credit_Limit")
    raw = raw_table(full, 60)
    raw[feature.raw] = ["1.234"] * 30 + ["1.234,5"] * 30
    path = tmp_path / "table.csv"
    raw.to_csv(path, index=False, sep=";")
    expected = clean(read_raw(path), full)[feature.name]
    assert set(expected) == {1234, 1234.5}
    proof = NumberProof()
    for part in read_parts(path):
        proof.add(prove_numbers(part, full))
    judged = [judge(part, full, proof) for part in read_parts(path)]
    assert not any(each.misfits for each in judged)
    found = pd.concat([each.rows[feature.name] for each in judged])
    assert found.tolist() == expected.tolist()
