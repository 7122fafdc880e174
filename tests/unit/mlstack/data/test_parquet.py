"""Parquet is read as the CSV of the same table: every type, alone and as a folder."""

import gzip
from datetime import date
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.data.table_files import pack, table_content
from mlstack.errors import DataError
from tests.support.raw_tables import raw_table

TIMES = pd.DatetimeIndex(["2024-01-02T00:00:00.0", "2024-01-02T03:04:05.5", "NaT"])


def parquet(frame: pd.DataFrame) -> bytes:
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return file.getvalue()


def typed(contract: Contract, rows: int = 30) -> pd.DataFrame:
    """A valid table with numbers as numbers and categories as a dictionary."""
    raw = raw_table(contract, rows)
    for column in raw.columns:
        numbers = pd.to_numeric(raw[column], errors="coerce")
        raw[column] = numbers if numbers.notna().all() else raw[column].astype("category")
    return raw


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        (np.array([1, -(2**62), 3], "int64"), ["1", "-4611686018427387904", "3"]),
        (np.array([0, 1, 255], "uint8"), ["0", "1", "255"]),
        ([0.1, 1e22, np.nan], ["0.1", "1e+22", ""]),
        ([1.0, -0.0, None], ["1", "0", ""]),
        (np.array([0.1, 16777216, 1.5], "float32"), ["0.1", "16777216", "1.5"]),
        ([True, False, None], ["true", "false", ""]),
        ([date(2024, 1, 2), None, date(1999, 12, 31)], ["2024-01-02", "", "1999-12-31"]),
        (TIMES, ["2024-01-02", "2024-01-02 03:04:05.5", ""]),
        (
            TIMES.tz_localize("Europe/Berlin"),
            ["2024-01-01 23:00:00+00", "2024-01-02 02:04:05.5+00", ""],
        ),
        ([Decimal("1.20"), Decimal("3.00"), None], ["1.2", "3", ""]),
        ([Decimal(120), Decimal(3), None], ["120", "3", ""]),
        (pd.Categorical(["a", None, "b"]), ["a", "", "b"]),
        (["e\u0301 ", "", None], ["é", "", ""]),
    ],
)
def test_values_are_written_as_in_csv(values: object, texts: list[str]) -> None:
    frame = pd.DataFrame({"id": [1, 2, 3], "Wert": values})
    table = read_raw(parquet(frame))
    assert table["Wert"].tolist() == texts
    assert list(table.index) == [1, 2, 3]


def test_parquet_gives_the_rows_of_the_csv(documented: Contract) -> None:
    """A table with types, its CSV, and both compressed give the same rows."""
    frame = typed(documented)
    expected = clean(read_raw(frame.to_csv(index=False).encode()), documented)
    for content in (parquet(frame), gzip.compress(parquet(frame))):
        pd.testing.assert_frame_equal(clean(read_raw(content), documented), expected)


def test_numbers_keep_their_precision(contract: Contract) -> None:
    """The 17 digits of a floating-point number survive, where CSV has 15 certain ones."""
    feature = next(f for f in contract.features if f.kind == "number")
    frame = typed(contract)
    low, high = feature.range
    exact = np.random.default_rng(1).uniform(max(low, 0), min(high, 1e4), len(frame))
    frame[feature.raw] = exact
    rows = clean(read_raw(parquet(frame)), contract)
    assert (rows[feature.name].to_numpy() == exact).all()


def test_nested_column_is_refused_if_used(documented: Contract) -> None:
    frame = typed(documented)
    frame["Extra"] = [[1, 2]] * len(frame)
    assert len(clean(read_raw(parquet(frame)), documented)) == len(frame)
    frame["Gender"] = pd.Series([{"is": "F"}] * len(frame), index=frame.index)
    with pytest.raises(DataError, match=r"'Gender': has the type STRUCT.*, not one plain value"):
        clean(read_raw(parquet(frame)), documented)


def test_missing_values_are_refused_by_row(documented: Contract) -> None:
    frame = typed(documented)
    frame["Customer_Age"] = frame["Customer_Age"].astype("float64")
    frame.loc[5, "Customer_Age"] = np.nan
    with pytest.raises(DataError, match=r"'Customer_Age': is missing \(1 bad rows; row 5: ''\)"):
        clean(read_raw(parquet(frame)), documented)


def test_folder_is_one_table(tmp_path: Path, documented: Contract) -> None:
    """A folder's files follow each other by name; folders `name=value` are a column."""
    frame = typed(documented)
    for part, rows in (("Gender=F", frame[:10]), ("Gender=M", frame[10:20]), ("", frame[20:])):
        (tmp_path / part).mkdir(exist_ok=True)
        given = rows.drop(columns="Gender") if part else rows
        # The order of the columns, and the type of one of them, differ.
        given[sorted(given.columns)].to_parquet(tmp_path / part / "part-0.parquet", index=False)
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "_temporary").mkdir()
    (tmp_path / "_temporary" / "x.parquet").write_bytes(b"rest of a writer that was killed")
    rows = clean(read_raw(tmp_path), documented)
    expected = clean(
        frame.assign(Gender=["F"] * 10 + ["M"] * 10 + frame["Gender"].tolist()[20:]), documented
    )
    assert sorted(rows["gender"]) == sorted(expected["gender"])
    assert len(rows) == 30
    assert table_content(tmp_path) == table_content(tmp_path)
    pd.testing.assert_frame_equal(clean(read_raw(table_content(tmp_path)), documented), rows)


def test_files_with_other_columns_are_refused() -> None:
    files = {"a.parquet": parquet(pd.DataFrame({"x": [1]}))}
    files["b.parquet"] = parquet(pd.DataFrame({"x": [1], "y": [2]}))
    with pytest.raises(DataError, match=r"only one of 'a.parquet' and 'b.parquet' has 'y'"):
        read_raw(pack(files))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"PAR1rest", "Parquet file is damaged or cut off"),
        (parquet(pd.DataFrame({"x": range(1000)}))[:-50], "Parquet file is damaged or cut off"),
        (parquet(pd.DataFrame({"x": [1], " x": [2]})), "'x': appears twice among the columns"),
        (parquet(pd.DataFrame({"x": []})), "a header but no rows"),
    ],
)
def test_bad_parquet_is_refused_with_cause(content: bytes, cause: str) -> None:
    with pytest.raises(DataError, match=cause) as caught:
        read_raw(content)
    assert "\n" not in str(caught.value)


def test_folder_without_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the folder has no Parquet files"):
        read_raw(tmp_path)


def test_gzip_bomb_is_refused() -> None:
    """A file that grows a thousandfold is refused long before memory ends."""
    with pytest.raises(DataError, match=r"unpacking it was stopped at 6\d,\d{3},\d{3}"):
        read_raw(gzip.compress(b"a,b\n" + b"\0" * 10**8, 9))
