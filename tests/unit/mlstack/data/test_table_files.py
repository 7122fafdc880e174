"""Files of tables: what is certain is read, what is a guess is refused with lines and remedy."""

import codecs
import gzip
import time
import unicodedata

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.errors import DataError
from mlstack.settings import ROOT
from tests.support.raw_tables import raw_table


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    """The synthetic sample, as plain texts."""
    path = ROOT / "contracts" / "credit_card_churn_sample.csv"
    return pd.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture
def lines(documented: Contract) -> list[str]:
    """The lines of a valid file without quotes; line 1 is the header."""
    return raw_table(documented, 30).to_csv(index=False).splitlines()


def text(lines: list[str], end: str = "\n") -> bytes:
    return (end.join(lines) + end).encode()


def refusal(content: bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_raw(content)
    return str(caught.value)


def with_notes(frame: pd.DataFrame, notes: dict[int, str]) -> bytes:
    """The frame without quotes, with a last column `Notes`; `notes` by line."""
    header, *rows = frame.to_csv(index=False).splitlines()
    rows = [f"{row},{notes.get(line, '')}" for line, row in enumerate(rows, start=2)]
    return text([f"{header},Notes", *rows])


def test_stray_quotes_are_refused_by_line(sample: pd.DataFrame) -> None:
    """A2: quotes that open in one row and end in the middle of another name both lines."""
    message = refusal(with_notes(sample, {101: '"see 12', 3001: '"see 13'}))
    assert "opens in line 101" in message
    assert "closes in line 3,001" in message
    assert "see 12" in message


def test_swallowed_rows_are_refused_by_line(sample: pd.DataFrame) -> None:
    """Two stray quotes that make legal CSV are refused, as they swallow rows."""
    message = refusal(with_notes(sample, {101: '"see 12', 3001: 'see 13"'}))
    assert "line breaks and as many delimiters as a row" in message
    assert "line 101: '\"see 12" in message


def test_quote_that_never_closes_is_refused(sample: pd.DataFrame) -> None:
    assert "opens in line 7,000 never closes" in refusal(with_notes(sample, {7000: '"see 12'}))


def test_swallowed_cell_is_refused(lines: list[str]) -> None:
    """Quotes around a delimiter leave a row with too few cells."""
    cells = lines[4].split(",")
    lines[4] = ",".join([f'"{cells[0]}', f'{cells[1]}"', *cells[2:]])
    assert f"line 5: '{len(cells) - 1} cells'" in refusal(text(lines))


def test_quotes_inside_fields_are_read() -> None:
    """Doubled quotes, quotes in a field that is not quoted, line breaks in a quoted one."""
    table = read_raw(b'a,b,c\n"x ""y""",5\'11",z\n"two\nlines",1,2\n3,4,5\n')
    assert table["a"].tolist() == ['x "y"', "two\nlines", "3"]
    assert table["b"].tolist() == ["5'11\"", "1", "4"]
    assert table.lines is not None
    assert table.lines.tolist() == [2, 3, 5]


def test_space_before_a_quote_is_no_part_of_the_field() -> None:
    """One reading, whatever is inside: what counts the cells and what reads them agree."""
    table = read_raw(b'a, "b, c",d\n"1", "x, ""y""",2\n3, "",4\n')
    assert table.columns == ("a", "b, c", "d")
    assert table.frame().to_numpy().tolist() == [["1", 'x, "y"', "2"], ["3", "", "4"]]


def test_delimiter_after_space_and_quote_fills_no_cell() -> None:
    """A row that is one cell short is refused, not completed with an empty one."""
    message = refusal(b'a,b,c,d\n"two\nlines",2,3,4\n1, "x, y", 2\n')
    assert "line 4: '3 cells'" in message


def test_line_break_at_the_end_of_a_cell_is_trimmed() -> None:
    """It is white space like any other, in whatever company."""
    table = read_raw(b'a,b\n"x\n",1\n"\ny",2\n"x\ny",3\n')
    assert table["a"].tolist() == ["x", "y", "x\ny"]


def test_name_of_a_column_may_hold_line_breaks() -> None:
    """Spreadsheets wrap long headers, also that of the first column."""
    table = read_raw(b'"Age\n(years)",Size 5"\n1,2\n')
    assert table.columns == ("Age\n(years)", 'Size 5"')
    assert table.lines is not None
    assert table.lines.tolist() == [3]


def test_name_of_a_column_may_be_long() -> None:
    """Longer than Python's reader of CSV takes."""
    table = read_raw(b"a," + b"b" * 200_000 + b"\n1,2\n")
    assert table["b" * 200_000].tolist() == ["2"]


def test_name_of_thousands_of_columns_is_a_short_message() -> None:
    message = refusal(b",".join([b"x"] * 20_000) + b"\n" + b"1," * 19_999 + b"1\n")
    assert "as columns 1 and 2, and as 19,998 more" in message
    assert len(message) < 200


def test_thousands_of_nuls_are_refused_at_once() -> None:
    """As a power failure leaves them at a file's end; looking for each in its row took minutes."""
    began = time.process_time()
    message = refusal(b"a,b\n" + b"1,2\n" * 50_000 + b"\0" * 200_000)
    assert time.process_time() - began < 1
    assert message.startswith("column 'a': holds a NUL byte")
    assert "line 50002: " in message
    assert len(message) < 500


@pytest.mark.parametrize(("line", "value"), [(3, "47\x0064.6"), (31, "\x00")])
def test_nul_is_refused_with_column_and_line(lines: list[str], line: int, value: str) -> None:
    """A3: a NUL is never taken for the end of a value."""
    column = lines[0].split(",").index("Credit_Limit")
    cells = lines[line - 1].split(",")
    cells[column] = value
    lines[line - 1] = ",".join(cells)
    message = refusal(text(lines))
    assert message.startswith("column 'Credit_Limit': holds a NUL byte")
    assert f"line {line}: {value!r}" in message


def test_rows_cut_off_or_too_long_are_refused_by_line(lines: list[str]) -> None:
    """A row without its last cells is not completed, a longer one not cut."""
    count = len(lines[0].split(","))
    lines[5] = ",".join(lines[5].split(",")[:-2])
    lines[9] += ",7,8"
    message = refusal(text(lines))
    assert f"the header, which has {count}" in message
    assert f"(2 bad rows; line 6: '{count - 2} cells', line 10: '{count + 2} cells')" in message


def test_empty_columns_without_a_name_are_dropped(lines: list[str], documented: Contract) -> None:
    """B9: a spreadsheet's empty columns are dropped and mentioned."""
    padded = [f"{line},," for line in lines]
    padded[7] = lines[7]  # spreadsheets leave empty cells out in some rows
    table = read_raw(text(padded))
    count = len(lines[0].split(","))
    assert table.notes == [
        f"left out: empty columns without a name (number {count + 1}, {count + 2})"
    ]
    pd.testing.assert_frame_equal(
        clean(table, documented), clean(read_raw(text(lines)), documented)
    )


def test_index_column_without_a_name_is_left_out(documented: Contract) -> None:
    """The index that pandas writes has no name, so no contract can use it."""
    raw = raw_table(documented, 30)
    table = read_raw(raw.to_csv().encode())
    assert table.columns == tuple(raw.columns)
    assert table.notes == ["left out: filled columns without a name (number 1)"]


def test_names_that_look_alike_are_the_same() -> None:
    message = refusal("Größe,b,Gro\u0308ße,\u200bb\n1,2,3,4\n".encode())
    assert "column 'Größe': appears twice in the header, as columns 1 and 3" in message
    assert "column 'b': appears twice in the header, as columns 2 and 4" in message


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_line_ends_do_not_matter(lines: list[str], documented: Contract, end: str) -> None:
    expected = clean(read_raw(text(lines)), documented)
    mixed = text(lines[:9], "\r\n") + text(lines[9:], end)
    for content in (text(lines, end), mixed):
        rows = clean(read_raw(content), documented)
        pd.testing.assert_frame_equal(rows.reset_index(drop=True), expected.reset_index(drop=True))


@pytest.mark.parametrize(
    "encode",
    [
        gzip.compress,
        lambda content: codecs.BOM_UTF8 + b"\r\n" + content,
        lambda content: codecs.BOM_UTF8 + codecs.BOM_UTF8 + content,
        lambda content: content.decode().encode("utf-16"),
        lambda content: codecs.BOM_UTF16_BE + content.decode().encode("utf-16-be"),
        lambda content: content.decode().encode("utf-32"),
        lambda content: gzip.compress(content.decode().encode("utf-16")),
        lambda content: content.replace(b",", b";"),
        lambda content: content.replace(b",", b"\t"),
        lambda content: content.replace(b",", b"|"),
        lambda content: b"sep=;\r\n" + content.replace(b",", b";"),
        lambda content: b'"sep=^"\n' + content.replace(b",", b"^"),
        lambda content: (
            codecs.BOM_UTF16_LE
            + b"sep=\t\n".decode().encode("utf-16-le")
            + content.replace(b",", b"\t").decode().encode("utf-16-le")
        ),
        lambda content: content + b"  \n\n\t\n",
        lambda content: content.replace(b",", b" , "),
        lambda content: content.replace(b",", "\u00a0,\u200b".encode()),
    ],
)
def test_certain_files_are_read(lines: list[str], documented: Contract, encode: object) -> None:
    """C1: compression, encodings with a mark, delimiters and invisible characters."""
    assert callable(encode)
    rows = clean(read_raw(encode(text(lines))), documented)
    pd.testing.assert_frame_equal(rows, clean(read_raw(text(lines)), documented))


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"PK\x03\x04" + b"\0" * 26 + b"xl/workbook.xml", "is an Excel workbook.*CSV UTF-8"),
        (b"PK\x03\x04" + b"\0" * 26 + b"table.csv", "is a ZIP archive"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "is an old Excel workbook"),
        (b"PAR1rest", "Parquet file is damaged"),
        (b"PK\x03\x04" + b"\0" * 26 + b"mimetypeapplication/vnd.oasis.open", "is an OpenDocument"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"<table><tr><td>a</td></tr></table>", "is a web page"),
        (b"{\\rtf1\\ansi a,b}", "is an RTF document"),
        (b"ARROW1\0\0" + bytes(range(256)), "is not a text: it is damaged or in another format"),
        (b"\x80\x04\x95\0\0pickle", "is not a text: it is damaged or in another format"),
        (
            gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0),
            "compressed with gzip twice",
        ),
        (b"\0" * 1000, "holds a NUL byte"),
        (b'[{"a": 1}]', "is a JSON document"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "gzip and damaged or cut off"),
        ("a,b\nx,München\n".encode("latin-1"), r"not in UTF-8: line 2 has b'M\\xfcnchen'.*iconv"),
        ("a,b\n1,2\n".encode("utf-16-le"), "UTF-16 without a byte order mark"),
        (codecs.BOM_UTF16_LE + b"a\0,", "damaged or cut off"),
        (b"Customers of May\na,b,c\n1,2,3\n", "first line, 'Customers of May', holds one cell"),
        (b"Customers, May\n\na,b,c\n1,2,3\n4,5,6\n", "the header in line 1 has 2 cells"),
        (b"Customers,,\na,b,c\n1,2,3\n", "names only 1 of 3 columns: if it is a title"),
        (b"a;b,c\n1;2,3\n4;5,6\n", "divided at commas or semicolons: say which.*sep="),
        (codecs.BOM_UTF8 + b"\n\n", "the table is empty"),
        (codecs.BOM_UTF8 * 2, "the table has no header"),
        (b"sep=;\n", "the table is empty|no header"),
        (b",,\n1,2,3\n", "the header names no column"),
        (b"a,b\n,\n  ,\n", "a header but no rows"),
    ],
)
def test_uncertain_files_are_refused_with_cause(content: bytes, cause: str) -> None:
    """C1: what is a guess, or another format, is refused in one sentence."""
    with pytest.raises(DataError, match=f"(?s){cause}"):
        read_raw(content)
    assert "\n" not in refusal(content)


def test_delimiter_in_a_name_is_no_guess() -> None:
    """A delimiter that does not divide the rows does not divide the header."""
    table = read_raw(b"Income, yearly;Age;b\n100,5;30;1\n2;40;2\n")
    assert table.columns == ("Income, yearly", "Age", "b")


def test_other_table_is_refused_in_one_sentence(documented: Contract) -> None:
    """C1: a contract's columns are not listed one by one if none is there."""
    with pytest.raises(DataError, match="no column of the contract is in the table") as caught:
        clean(read_raw(b"a b c\n1 2 3\n"), documented)
    assert "divided by something other than a comma" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_lines_in_quotes_are_named(documented: Contract) -> None:
    """A file each line of which is quoted as a whole has one column."""
    lines = raw_table(documented, 9).to_csv(index=False).splitlines()
    with pytest.raises(DataError, match="is each line in quotes as a whole"):
        clean(read_raw(text([f'"{line}"' for line in lines])), documented)


def test_column_of_another_spelling_is_suggested(documented: Contract) -> None:
    raw = raw_table(documented, 9).rename(columns={"Customer_Age": "customer age"})
    with pytest.raises(DataError, match="'Customer_Age': is not in the table, but 'customer age'"):
        clean(raw, documented)


def test_letters_match_composed_or_not(documented: Contract) -> None:
    """Headers, categories and contract match however their letters are composed."""
    feature = documented.features[1]
    composed = feature.model_copy(
        update={
            "raw": unicodedata.normalize("NFD", "Größe"),
            "values": ("é", "x y"),
            "raw_values": {"e\u0301": "é", "x y": "x y"},
        }
    )
    contract = documented.model_copy(
        update={"features": (documented.features[0], composed, *documented.features[2:])}
    )
    raw = raw_table(documented, 30).rename(columns={"Gender": "Größe"})
    raw["Größe"] = ["é", "e\u0301", "x\u00a0y", "x y\u200b", "\ufeffx y"] * 6
    rows = clean(read_raw(raw.to_csv(index=False).encode()), contract)
    assert rows["gender"].tolist() == ["é", "é", "x y", "x y", "x y"] * 6
    assert rows["gender"].dtype == object
