"""Tests of the split by time: train on the past, test on the newest rows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.data.dataset import clean, split
from mlstack.data.time_split import parts_by_time
from mlstack.errors import ContractError, DataError
from tests.support.every_kind import TEXT
from tests.support.raw_tables import raw_table

TIMED = TEXT.replace("features:", "time: {raw: Seen}\nfeatures:", 1)
CONTRACT = Contract.parse(TIMED)
DAYS = pd.date_range("2021-01-01", periods=300, freq="D").strftime("%Y-%m-%d")


def table(seen: list[str], contract: Contract = CONTRACT) -> pd.DataFrame:
    """Make a raw table whose rows are not in the order of their time."""
    return raw_table(contract, len(seen)).assign(Seen=seen).sample(frac=1, random_state=1)


def seen_in_parts(raw: pd.DataFrame, contract: Contract = CONTRACT) -> list[list[str]]:
    parts = split(clean(raw, contract), contract)
    return [sorted(raw.loc[part.index, "Seen"]) for part in parts]


def test_newest_rows_are_for_the_test() -> None:
    """Those before are for validation, and the model is trained on the past."""
    train, validation, test = seen_in_parts(table(list(DAYS)))
    assert (train, validation, test) == ([*DAYS[:180]], [*DAYS[180:240]], [*DAYS[240:]])


def test_parts_have_the_usual_columns() -> None:
    """The time is neither a feature nor part of the reference."""
    for part in split(clean(table(list(DAYS)), CONTRACT), CONTRACT):
        assert list(part.columns) == [*CONTRACT.feature_names, "returned"]


def test_rows_of_one_time_stay_together() -> None:
    """A part may be larger or smaller than its share for it."""
    months = [f"2021-{1 + i * 7 // 300:02}-01" for i in range(300)]
    train, validation, test = map(set, map(tuple, seen_in_parts(table(months))))
    assert not train & validation
    assert not validation & test
    assert max(train) < min(validation) <= max(validation) < min(test)


def test_time_is_divided_only_if_a_part_would_be_empty() -> None:
    """Two times make no three parts."""
    times = ["2021-01-01"] * 150 + ["2021-01-02"] * 150
    parts = seen_in_parts(table(times))
    assert list(map(len, parts)) == [180, 60, 60]
    assert set(parts[2]) == {"2021-01-02"}
    assert parts == seen_in_parts(table(times).sample(frac=1, random_state=5))


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (list(map(str, range(1990, 2290))), None),
        ([f"{i / 10:.1f}" for i in range(300)], None),
        (list(pd.date_range("2021-01-01", periods=300, freq="min").astype(str)), None),
        ([f"2021-01-01T{i // 60:02}:{i % 60:02}:00Z" for i in range(300)], None),
        (
            list(pd.date_range("2021-01-01", periods=300).strftime("%d.%m.%Y %H:%M")),
            "%d.%m.%Y %H:%M",
        ),
    ],
)
def test_times_are_read_as_tables_write_them(times: list[str], form: str | None) -> None:
    """As years, steps, dates, times of day, or in a format of the contract."""
    written = TIMED if form is None else TIMED.replace("Seen}", f'Seen, format: "{form}"}}')
    contract = Contract.parse(written)
    raw = table(times, contract)
    parts = split(clean(raw, contract), contract)
    assert set(raw.loc[parts.test.index, "Seen"]) == set(times[240:])


def test_offset_of_a_time_counts() -> None:
    """Midnight in the east is earlier than the evening before in the west."""
    times = [f"2021-01-01T{i // 60:02}:{i % 60:02}:00+00:00" for i in range(300)]
    times[0] = "2021-01-01T23:00:00-05:00"
    times[299] = "2021-01-02T00:00:00+14:00"
    raw = table(times)
    parts = split(clean(raw, CONTRACT), CONTRACT)
    assert times[0] in set(raw.loc[parts.test.index, "Seen"])
    assert times[1] in set(raw.loc[parts.train.index, "Seen"])


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("", "column 'Seen': is missing, and the split goes by it (1 bad rows"),
        ("soon", "column 'Seen': is not a time (YYYY-MM-DD, with or without a time of day)"),
        ("2021", "column 'Seen': is not a time"),
        ("2021-02-30", "column 'Seen': is not a time"),
    ],
)
def test_row_without_a_time_is_refused(cell: str, reason: str) -> None:
    raw = table(list(DAYS))
    raw.loc[7, "Seen"] = cell
    with pytest.raises(DataError) as caught:
        clean(raw, CONTRACT)
    assert str(caught.value).startswith(reason)


def test_part_without_a_class_is_refused() -> None:
    """No figure could be computed on it."""
    raw = table(list(DAYS))
    raw["Back"] = np.where(raw["Seen"] < DAYS[200], "yes", "no")
    with pytest.raises(DataError, match="no training row has the target 0: change the shares"):
        split(clean(raw, CONTRACT), CONTRACT)


def test_numbers_and_classes_are_split_by_time_alike() -> None:
    """A part of numbers needs rows, one of classes all of them."""
    times = np.arange(100.0)

    def sizes(target: NDArray[Any]) -> list[int]:
        parts = parts_by_time(times, target, CONTRACT.split, lambda: np.zeros(100, np.uint64))
        assert (np.diff(parts) >= 0).all()
        return [int((parts == part).sum()) for part in range(3)]

    assert sizes(times) == [60, 20, 20]
    assert sizes(np.array(["a", "b", "c", "a"] * 25, dtype=object)) == [60, 20, 20]
    with pytest.raises(DataError, match="no test row has the target b"):
        sizes(np.array(["a", "b"] * 40 + ["a"] * 20, dtype=object))


def test_date_among_the_features_may_be_the_time() -> None:
    contract = Contract.parse(TEXT.replace("features:", "time: {raw: Ordered}\nfeatures:", 1))
    raw = raw_table(contract, 300)
    parts = split(clean(raw, contract), contract)
    assert parts.train["ordered"].max() <= parts.validation["ordered"].min()
    assert parts.validation["ordered"].max() <= parts.test["ordered"].min()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("{raw: Seen}", "{raw: Back}", "'Back' is the target"),
        ("clean_up: {}", "clean_up: {drop_columns: [Seen]}", "'Seen' is a dropped column"),
    ],
)
def test_time_that_is_not_there_is_refused(old: str, new: str, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        Contract.parse(TIMED.replace(old, new))


def test_digest_covers_the_time_only_if_set() -> None:
    assert CONTRACT.digest != Contract.parse(TEXT).digest
