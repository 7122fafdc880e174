"""Numbers as people write them: read if only one reading is possible, else refused."""

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.errors import DataError
from tests.support.raw_tables import raw_table


def cleaned(contract: Contract, delimiter: str = ",", **columns: list[str]) -> pd.DataFrame:
    """Clean a file whose columns have these texts, over and over."""
    raw = raw_table(contract, 30)
    for name, texts in columns.items():
        raw[name] = (texts * 30)[:30]
    return clean(read_raw(raw.to_csv(index=False, sep=delimiter).encode()), contract)


def limits(contract: Contract, texts: list[str], delimiter: str = ",") -> list[float]:
    rows = cleaned(contract, delimiter, Credit_Limit=texts)
    return [float(value) for value in rows["credit_limit"][: len(texts)]]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["12,5", "1234,75", "3"], [12.5, 1234.75, 3.0]),
        (["0,595", "1,234"], [0.595, 1.234]),
        (["1.234,5", "1.234", "17"], [1234.5, 1234.0, 17.0]),
        (["1.234.567", "1.234"], [1234567.0, 1234.0]),
        (["1,234.5", "1,234"], [1234.5, 1234.0]),
        (["1,234,567", "1,234", "5"], [1234567.0, 1234.0, 5.0]),
        (["1,234", "12.5"], [1234.0, 12.5]),
        (["47 064,6", "47\u00a0064,6", "47\u202f064,6"], [47064.6] * 3),
        (["1 234", "5"], [1234.0, 5.0]),
        (["1'234.5", "1\u2019234"], [1234.5, 1234.0]),
        (["1e3", "2.50", "+7", ".5", "5."], [1000.0, 2.5, 7.0, 0.5, 5.0]),
    ],
)
def test_certain_numbers_are_read(
    documented: Contract, texts: list[str], expected: list[float]
) -> None:
    assert limits(documented, texts) == expected
    assert limits(documented, texts, ";") == expected


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["1,234", "5,678", "9"], "may be thousands or have three decimals"),
        (["12,5", "12.5"], "has a decimal comma, but other rows have a decimal point"),
        (["1,234,5"], "is not a number"),
        (["12,34,567"], "is not a number"),
        (["$5"], "is not a number"),
        (["5 %"], "is not a number"),
        (["1 23"], "is not a number"),
        (["5e 1"], "is not a number"),
        (["\u0663"], "is not a number"),
        (["NA"], "is not a number; if it means 'missing', list it in the contract"),
    ],
)
def test_uncertain_numbers_are_refused_by_line(
    documented: Contract, texts: list[str], reason: str
) -> None:
    with pytest.raises(DataError, match=f"column 'Credit_Limit': {reason}") as caught:
        limits(documented, texts)
    assert "line 2: " in str(caught.value)


def test_points_beside_decimal_commas_are_a_guess(documented: Contract) -> None:
    """In a file with decimal commas, 2.000 may be two thousand."""
    commas, points = ["12,5", "3"], ["2.000", "3.000"]
    with pytest.raises(
        DataError, match=r"'Total_Revolving_Bal': may be thousands.*line 2: '2.000'"
    ):
        cleaned(documented, ";", Credit_Limit=commas, Total_Revolving_Bal=points)
    with pytest.raises(DataError, match="'Credit_Limit': may be thousands"):
        cleaned(documented, ";", Credit_Limit=["1.234", "987"])
    rows = cleaned(documented, ",", Credit_Limit=["1.234", "987"])
    assert rows["credit_limit"].tolist()[:2] == [1.234, 987.0]


def test_minus_signs_of_any_kind_are_read(documented: Contract) -> None:
    with pytest.raises(DataError, match=r"out of range.*line 2: '\u22125'"):
        limits(documented, ["\u22125"])


def test_numbers_are_read_as_pandas_reads_them(full: Contract) -> None:
    """Rows keep their part of the split: the last bit of a number decides about it."""
    texts = ["0.30000000000000004", "9.109383701528e-3", "123456.78901234567", "4764.6", "-0"]
    rows = cleaned(full, Credit_Limit=texts)
    expected = pd.to_numeric(pd.Series(texts)).tolist()
    assert list(map(repr, rows["credit_limit"][:5].tolist())) == list(map(repr, expected))
