"""A drafted contract can be trained with at once, and says what a person has to decide."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.contract.features import (
    CategoryFeature,
    DateFeature,
    IntegerFeature,
    NumberFeature,
)
from mlstack.data.dataset import clean, read_raw, split
from mlstack.errors import DataError, SettingsError
from operations.contract_draft import __main__ as command
from operations.contract_draft.columns import describe_columns
from operations.contract_draft.draft import Draft, draft_contract
from operations.contract_draft.drafted import new_name
from operations.contract_draft.features import most_values, range_with_room
from tests.support.contracts import binary

ROWS = 400
LEAK = "predicts the target alone, as if it were known only afterwards"
Cell = Callable[[random.Random, int, bool], object]

CELLS: dict[str, Cell] = {
    "customerId": lambda _, row, __: 70_000 + row,
    "Age": lambda draws, _, good: draws.randint(18, 60) + 10 * good,
    "Income [EUR]": lambda draws, _, __: (
        "" if draws.random() < 0.2 else round(draws.lognormvariate(10, 1), 2)
    ),
    "Visits": lambda draws, _, __: "unknown" if draws.random() < 0.02 else draws.randint(1, 9),
    "Segment": lambda draws, _, __: draws.choice(["retail", "SME [small]", "no", "NA"]),
    "Zip": lambda draws, _, __: f"0{draws.randint(1, 9)}",
    "Note": lambda draws, _, __: f"Asked for number {draws.random()} in the shop.",
    "Town": lambda draws, row, __: (
        f"rare town {row}" if row % 40 == 0 else f"town {draws.randint(1, 25)}"
    ),
    "Country": lambda *_: "here",
    "Empty": lambda *_: "",
    "Refund": lambda draws, _, good: "0" if good else draws.randint(1, 5),
    "Newsletter": lambda draws, *_: draws.choice(["Y", "N"]),
    "Joined": lambda draws, *_: f"20{draws.randint(10, 19)}-0{draws.randint(1, 9)}-15 00:00:00",
    "Last seen": lambda draws, *_: f"{draws.randint(1, 28)}.{draws.randint(1, 12)}.2023",
    "2nd visit": lambda draws, _, __: "" if draws.random() < 0.97 else draws.randint(10, 99),
}


def table_text(delimiter: str = ",") -> str:
    """Write a messy table; customers who leave are younger and get refunds."""
    draws = random.Random(1)
    lines = [delimiter.join([*CELLS, "Left?"])]
    for row in range(ROWS):
        good = draws.random() < 0.7
        cells = [str(cell(draws, row, good)) for cell in CELLS.values()]
        lines.append(delimiter.join([*cells, "No" if good else "Yes"]))
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def text() -> str:
    return table_text()


@pytest.fixture(scope="module")
def draft(text: str) -> Draft:
    return draft_contract(read_raw(text.encode()), "Left?", "customers", "customers.csv")


@pytest.fixture(scope="module")
def contract(draft: Draft) -> Contract:
    return Contract.parse(draft.contract)


def test_draft_trains_without_an_edit(text: str, contract: Contract) -> None:
    """Every row of the table fits."""
    rows = clean(read_raw(text.encode()), contract)
    assert len(rows) == ROWS
    assert all(len(part) for part in split(rows, contract))


def test_kinds_and_ranges_fit_the_columns(contract: Contract) -> None:
    """Ranges have room, categories list their values, gaps are allowed where there are some."""
    features = {feature.name: feature for feature in contract.features}
    age, income, segment = features["age"], features["income_eur"], features["segment"]
    assert isinstance(age, IntegerFeature)
    assert age.range[0] == 0
    assert 80 <= age.range[1] <= 120
    assert isinstance(income, NumberFeature)
    assert income.missing == "allow"
    assert isinstance(segment, CategoryFeature)
    assert set(segment.values) == {"retail", "SME (small)", "no"}
    assert segment.raw_values["SME [small]"] == "SME (small)"
    assert features["visits"].kind == "integer"
    assert features["newsletter"].kind == "boolean"
    assert {"NA", "unknown"} <= set(contract.clean_up.missing_values)


def test_days_are_counted_from_the_earliest_date(contract: Contract) -> None:
    """The base of dates is the one that lies before the others."""
    features = {feature.name: feature for feature in contract.features}
    joined, last_seen = features["joined"], features["last_seen"]
    assert isinstance(joined, DateFeature)
    assert isinstance(last_seen, DateFeature)
    assert (joined.since, last_seen.since) == (None, "joined")
    assert (joined.format, last_seen.format) == (None, "%d.%m.%Y")


def test_single_date_is_left_out() -> None:
    """A model learns nothing from a date without another one."""
    draws = random.Random(3)
    rows = [
        f"{draws.randint(1, 9)},2024-01-{n % 28 + 1:02},{draws.randint(0, 1)}" for n in range(60)
    ]
    text = "\n".join(["a,seen,target", *rows])
    draft = draft_contract(read_raw(text.encode()), "target", "dates", "dates.csv")
    reason = "left out: is a date without another one to count days from: is it the time?"
    assert ("seen", reason) in draft.decisions


def test_date_that_predicts_the_target_alone_is_no_base() -> None:
    """It is left out, although it is the earliest; the others are counted from the next one."""
    draws = random.Random(4)
    rows = ["closed,joined,seen,target"]
    for _ in range(300):
        left = draws.random() < 0.3
        closed = f"2001-0{draws.randint(1, 9)}-01" if left else ""
        joined, seen = (f"{year}-0{draws.randint(1, 9)}-15" for year in (2010, 2020))
        rows.append(f"{closed},{joined},{seen},{'yes' if left else 'no'}")
    draft = draft_contract(read_raw("\n".join(rows).encode()), "target", "dates", "dates.csv")
    assert ("closed", f"left out: {LEAK}") in draft.decisions
    dates = Contract.parse(draft.contract).features
    assert [(date.name, getattr(date, "since", "")) for date in dates] == [
        ("joined", None),
        ("seen", "joined"),
    ]


def test_texts_among_a_targets_numbers_hide_no_column_that_predicts_it() -> None:
    """Rows without a target are left out of the comparison."""
    draws = random.Random(5)
    rows = ["rooms,copy,price"]
    for number in range(600):
        price = draws.randint(1, 60) * 1.5
        rows.append(f"{draws.randint(1, 9)},{2 * price},{price if number % 50 else 'Unknown'}")
    draft = draft_contract(read_raw("\n".join(rows).encode()), "price", "homes", "homes.csv")
    assert ("copy", f"left out: {LEAK}") in draft.decisions


def test_positive_class_says_yes(contract: Contract) -> None:
    """A guess, which the contract asks a person to confirm."""
    assert (contract.target.raw, contract.answer) == ("Left?", "left chance")
    assert binary(contract).class_texts == {1: ("Yes",), 0: ("No",)}


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        ("Left?", "class whose probability"),
        ("customerId", "identifies rows"),
        ("Visits", "taken for missing"),
        ("Zip", "looks like numbers"),
        ("Note", "free text"),
        ("Town", "rarest values"),
        ("Country", "one value only"),
        ("Empty", "is empty"),
        ("Refund", "predicts the target alone"),
        ("2nd visit", "nearly empty"),
        ("Joined", "date that others are counted from"),
    ],
)
def test_what_a_person_decides_is_listed(draft: Draft, column: str, reason: str) -> None:
    """It stands in the list and in the file."""
    assert any(column == named and reason in note for named, note in draft.decisions)
    assert reason[1:] in draft.contract


def test_no_rare_text_of_the_table_is_in_the_draft(draft: Draft) -> None:
    """A rare text may name somebody."""
    assert "rare town" not in draft.contract
    assert "Asked for" not in draft.contract
    assert "70000" not in draft.contract


def test_same_table_gives_the_same_draft(text: str, draft: Draft) -> None:
    """Nothing in a draft depends on chance, nor on the delimiter."""
    semicolons = table_text(delimiter=";")
    for content in (text, semicolons):
        again = draft_contract(read_raw(content.encode()), "Left?", "customers", "customers.csv")
        assert again == draft


def test_wide_table_takes_few_lines() -> None:
    """100 columns take about 100 lines."""
    names = [f"v{number}" for number in range(100)]
    draws = random.Random(2)
    rows = [",".join(str(draws.randint(0, 50)) for _ in names) + f",{n % 2}" for n in range(60)]
    text = "\n".join([",".join([*names, "target"]), *rows])
    draft = draft_contract(read_raw(text.encode()), "target", "wide", "wide.csv")
    assert len(Contract.parse(draft.contract).features) == 100
    assert draft.contract.count("\n") < 130


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("customerID", "customer_id"),
        ("Total_Ct_Chng_Q4_Q1", "total_ct_chng_q4_q1"),
        ("Größe (cm)", "grosse_cm"),
        ("Año", "ano"),
        ("客户", "column"),
        ("2nd visit", "column_2nd_visit"),
        ("Contract", "contract_value"),
        ("taken", "taken_2"),
        ("x" * 99, "x" * 57),
    ],
)
def test_names_are_made_of_the_columns_names(raw: str, name: str) -> None:
    """They are letters, digits and _, and none is taken or reserved."""
    assert new_name(raw, {"taken"}) == name


@pytest.mark.parametrize(
    ("low", "high", "whole", "bounds"),
    [
        (18, 73, True, [0, 105]),
        (0.02, 0.97, False, [0, 1]),
        (-3.2, 4.1, False, [-7, 8]),
        (1950, 2009, True, [1920, 2040]),
        (0, 1, True, [0, 2]),
    ],
)
def test_ranges_have_room(low: float, high: float, whole: bool, bounds: list[float]) -> None:  # noqa: FBT001 - a parameter
    """Bounds are round numbers beyond what the table has."""
    assert range_with_room(low, high, whole=whole) == bounds


def test_many_values_are_listed_as_far_as_memory_allows() -> None:
    """Each value becomes a column of the model's matrix."""
    rows = [f"town {n % 900},{n % 7},{n % 2}" for n in range(9000)]
    columns = describe_columns(read_raw("\n".join(["town,a,target", *rows]).encode()))
    assert most_values(columns) == 1000
    assert most_values([replace(column, rows=500_000) for column in columns]) == 400


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("{n}.5 %", "numbers with signs"),
        ("$1,{n}", "numbers with signs"),
        ("{n}{odd}", "mostly numbers, but too many rows have other texts"),
    ],
)
def test_texts_that_are_numbers_are_told(cell: str, reason: str) -> None:
    """A person can mend the file; the draft leaves the column out."""
    cells = [cell.format(n=1000 + n, odd=" or so" if n % 9 == 0 else "") for n in range(60)]
    rows = [f'"{text}",{n % 7},{n % 2}' for n, text in enumerate(cells)]
    draft = draft_contract(read_raw("\n".join(["a,b,target", *rows]).encode()), "target", "t", "t")
    assert any(column == "a" and reason in note for column, note in draft.decisions)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n2,3\n", "target.*is not in the table, which has 'a', 'b'"),
        ("a,target\n1,x\n2,x\n", "fewer than two values"),
        (
            "a,target\n" + "".join(f"{n},word {n}\n" for n in range(99)),
            "99 different texts, 0 of them",
        ),
        ("a,target\n" + "".join(f"x,{n % 2}\n" for n in range(99)), "no column is left"),
    ],
)
def test_hopeless_table_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Nothing is drafted that cannot be trained."""
    with pytest.raises(DataError, match=reason):
        draft_contract(read_raw(text.encode()), "target", "hopeless", "hopeless.csv")


class TestCommand:
    """What `make contract` does with files."""

    @pytest.fixture
    def table(self, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(command, "ROOT", tmp_path)
        path = tmp_path / "My Customers-2024.csv"
        path.write_text(text)
        return path

    def test_draft_is_named_after_the_file(self, table: Path, tmp_path: Path) -> None:
        """An example of a drift is beside it."""
        path, _ = command.draft_to_file(str(table), "Left?")
        assert path == tmp_path / "contracts" / "my_customers_2024.yaml"
        assert Contract.load(path).name == "my_customers_2024"
        assert path.with_suffix(".drifts.yaml").exists()

    def test_contract_is_never_overwritten(self, table: Path) -> None:
        """A second draft needs another name."""
        path, _ = command.draft_to_file(str(table), "Left?", "mine")
        path.write_text("edited")
        with pytest.raises(SettingsError, match=r"contracts/mine\.yaml exists"):
            command.draft_to_file(str(table), "Left?", "mine")
        assert path.read_text() == "edited"

    @pytest.mark.parametrize(
        ("data", "target", "name", "reason"),
        [
            ("", "Left?", "", "make contract DATA="),
            ("x.csv", "", "", "make contract DATA="),
            ("no_such_file.csv", "Left?", "", "file not found"),
            ("x.csv", "Left?", "../up", "lower-case"),
            ("s3://", "Left?", "", "BUCKET"),
        ],
    )
    def test_wrong_arguments_are_explained(
        self, data: str, target: str, name: str, reason: str
    ) -> None:
        """What is missing or wrong is named, with what to do."""
        with pytest.raises(SettingsError, match=reason):
            command.draft_to_file(data, target, name)
