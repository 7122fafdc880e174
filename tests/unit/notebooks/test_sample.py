"""Tests of the synthetic sample in the repository, and of drawing and judging samples."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.errors import DataError
from mlstack.settings import ROOT
from notebooks.sample.draw_sample import draw_sample, write_raw
from notebooks.sample.judge_sample import (
    auc,
    correlation_differences,
    distances,
    identical_rows,
    nearest,
)
from notebooks.sample.real_table import RealTable
from tests.support.contracts import binary
from tests.support.real_data import real_table

CONTRACTS = [
    Contract.load(ROOT / "contracts" / f"{name}.yaml")
    for name in ("credit_card_churn", "credit_card_churn_full")
]
SAMPLE = ROOT / "contracts" / "credit_card_churn_sample.csv"


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return read_raw(SAMPLE).frame()


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    """The real file, if present: the project may not redistribute it."""
    path = real_table()
    if path is None:
        pytest.skip("the real file is not here (DATA_FILE)")
    raw = read_raw(path).frame()
    if not {f.raw for c in CONTRACTS for f in c.features} <= set(raw.columns):
        pytest.skip(f"{path} is another table")
    return raw


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_sample_has_exactly_the_columns_of_the_contract(
    sample: pd.DataFrame, contract: Contract
) -> None:
    """Columns that the contract uses or drops."""
    assert set(sample.columns) == {
        contract.target.raw,
        *(feature.raw for feature in contract.features),
        *contract.clean_up.drop_columns,
    }


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_sample_fits_the_contract_with_the_real_class_share(
    sample: pd.DataFrame, contract: Contract
) -> None:
    assert contract.data.public is not None
    assert contract.data.public.positives is not None
    share = contract.data.public.positives / contract.data.public.rows
    assert sample[contract.target.raw].isin(
        binary(contract).class_texts[1]
    ).mean() == pytest.approx(share, abs=0.001)
    rows = clean(sample, contract)
    assert len(rows) > 0.65 * len(sample)
    assert rows[contract.target.name].mean() == pytest.approx(share, abs=0.02)


def test_sample_is_formatted_like_the_real_file() -> None:
    """Names and texts are quoted; numbers are bare and carry the decimals of their column."""
    header, *lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(r'"\w+"(,"\w+"){22}', header)
    text, whole, one, three = r'"[^"]+"', r"\d+", r"\d+(\.\d)?", r"\d+(\.\d{1,3})?"
    share = r"\d(\.\d+)?(e-0[5-9])?"
    columns = [r"\d{9}", text, whole, text, whole, text, text, text, text]
    columns += [whole, whole, whole, whole, one, whole, one, three, whole, whole, three, three]
    row = re.compile(",".join([*columns, share, share]))
    assert [line for line in lines if not row.fullmatch(line)] == []
    assert SAMPLE.stat().st_size < 1_250_000


def test_computed_columns_are_consistent_in_the_sample(sample: pd.DataFrame) -> None:
    limit = sample["Credit_Limit"].astype(float)
    balance = sample["Total_Revolving_Bal"].astype(float)
    open_to_buy = sample["Avg_Open_To_Buy"].astype(float)
    utilization = sample["Avg_Utilization_Ratio"].astype(float)
    assert (limit - balance - open_to_buy).abs().max() < 1e-6
    assert (balance / limit - utilization).abs().max() <= 0.0005 + 1e-9


def test_sample_has_no_row_of_the_real_file(sample: pd.DataFrame, real: pd.DataFrame) -> None:
    table = RealTable(real, CONTRACTS)
    assert identical_rows(table, table.parse(sample)) == {
        "all columns but the id": 0,
        "the features of credit_card_churn": 0,
        "the features of credit_card_churn_full": 0,
    }
    for column in table.of_role("identifier"):
        assert not sample[column.name].isin(real[column.name]).any()


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.name)
def test_sample_teaches_a_model_nearly_as_well_as_real_rows(
    sample: pd.DataFrame, real: pd.DataFrame, contract: Contract
) -> None:
    tested = real.sample(frac=0.3, random_state=0)
    learnt = real.drop(tested.index)
    assert auc(sample, tested, contract) > auc(learnt, tested, contract) - 0.04


TOY_CONTRACT = Contract.parse("""
name: toy
description: A table as small as it gets.
answer: chance
data: {key: toy.csv}
clean_up: {missing_values: ["?"], drop_columns: [Id, Sum]}
split: {train: 0.6, validation: 0.2, test: 0.2, seed: 1}
target: {name: left, raw: Left, positive: "yes", negative: "no", meaning: Left.}
features:
  - {name: size, kind: number, range: [0, 1000], missing: allow, meaning: Size, example: 1,
     raw: Size}
  - {name: count, kind: integer, range: [0, 100], missing: refuse, meaning: Count, example: 1,
     raw: Count}
  - {name: colour, kind: category, values: [red, blue], missing: allow, meaning: Colour,
     example: red, raw: Colour, raw_values: {Red: red, Blue: blue}}
  - {name: weight, kind: number, range: [0, 1000], missing: refuse, meaning: Weight, example: 1,
     raw: Weight}
""")


def toy_rows(count: int) -> pd.DataFrame:
    """A quarter leaves, all of them light; Sum is Count + Weight; some sizes are missing."""
    rng = np.random.default_rng(5)
    left = np.arange(count) % 4 == 0
    counts = rng.integers(0, 8, count)
    weight = np.round(rng.gamma(3, 20, count) / np.where(left, 4, 1), 2)
    size = np.round(weight * rng.uniform(0.5, 1, count), 1)
    return pd.DataFrame(
        {
            "Id": [str(1000 + i) for i in range(count)],
            "Left": np.where(left, "yes", "no"),
            "Size": np.where(rng.random(count) < 0.1, "?", size.astype(str)),
            "Count": counts.astype(str),
            "Colour": rng.choice(["Red", "Blue", "?"], count),
            "Weight": [f"{value:g}" for value in weight],
            "Sum": [f"{value:g}" for value in np.round(counts + weight, 2)],
        },
        index=range(1, count + 1),
    ).astype(object)


@pytest.fixture(scope="module")
def toy() -> RealTable:
    return RealTable(toy_rows(1200), [TOY_CONTRACT])


def test_seed_determines_the_sample(toy: RealTable) -> None:
    first, again, other = (draw_sample(toy, 200, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert not first.equals(other)


def test_sample_has_requested_rows_in_real_class_shares(toy: RealTable) -> None:
    drawn = draw_sample(toy, 400, 1)
    assert drawn["Left"].value_counts().to_dict() == {"no": 300, "yes": 100}


def test_column_that_is_a_sum_stays_a_sum(
    toy: RealTable,
) -> None:
    assert list(toy.relations) == ["Sum"]
    drawn = toy.parse(draw_sample(toy, 400, 1))
    assert (drawn["Count"] + drawn["Weight"] - drawn["Sum"]).abs().max() < 1e-6


def test_missing_numbers_are_as_frequent_as_in_real_table(
    toy: RealTable,
) -> None:
    """They are written with the same text, too."""
    drawn = draw_sample(toy, 1000, 1)
    assert (drawn["Size"] == "?").mean() == pytest.approx(0.1, abs=0.04)


def test_sample_keeps_the_relations_of_columns(toy: RealTable) -> None:
    drawn = toy.parse(draw_sample(toy, 1000, 1))
    assert correlation_differences(toy, drawn).max() < 0.12
    assert distances(toy, drawn)["distance"].max() < 0.07


def test_rare_values_are_not_copied(toy: RealTable) -> None:
    """Some coincide by chance on the grid of two decimals; most lie between real ones."""
    drawn = toy.parse(draw_sample(toy, 1000, 1))
    assert drawn["Weight"].isin(toy.rows["Weight"]).mean() < 0.3
    assert drawn["Weight"].between(toy.rows["Weight"].min(), toy.rows["Weight"].max()).all()


def test_real_ids_are_never_drawn(toy: RealTable) -> None:
    """Even where real ids leave no gap."""
    drawn = draw_sample(toy, 1000, 1)
    assert drawn["Id"].is_unique
    assert not drawn["Id"].isin(toy_rows(1200)["Id"]).any()


def test_real_rows_are_never_drawn() -> None:
    """With 5 sizes and 8 counts, rows often equal a real one by chance."""
    rows = toy_rows(400)
    rows["Size"] = [str(20 * (i % 5)) for i in range(len(rows))]
    rows["Weight"] = rows["Count"]
    rows["Sum"] = rows["Count"]
    table = RealTable(rows, [TOY_CONTRACT])
    drawn = table.parse(draw_sample(table, 10, 1))
    assert set(identical_rows(table, drawn).values()) == {0}


def test_table_too_uniform_to_draw_from_is_refused() -> None:
    rows = toy_rows(400).assign(Size="1", Count="2", Weight="3", Sum="5")
    with pytest.raises(DataError, match="draw fewer rows"):
        draw_sample(RealTable(rows, [TOY_CONTRACT]), 100, 1)


@pytest.mark.parametrize("rows", [-1, 0, 1])
def test_sample_too_small_for_both_classes_is_refused(toy: RealTable, rows: int) -> None:
    with pytest.raises(DataError, match="draw more"):
        draw_sample(toy, rows, 1)


def test_unknown_text_column_is_refused() -> None:
    rows = toy_rows(40).assign(Name=[f"Customer {i}" for i in range(40)])
    with pytest.raises(DataError, match=r"'Name'.*remove the column"):
        RealTable(rows, [TOY_CONTRACT])


def test_written_sample_is_read_back_unchanged(toy: RealTable, tmp_path: Path) -> None:
    drawn = draw_sample(toy, 50, 1)
    write_raw(drawn, toy, tmp_path / "sample.csv")
    pd.testing.assert_frame_equal(
        read_raw(tmp_path / "sample.csv").frame(), drawn, check_dtype=False, check_index_type=False
    )
    assert (tmp_path / "sample.csv").read_text().startswith('"Id","Left","Size",')


def test_judge_finds_a_table_identical_to_itself(toy: RealTable) -> None:
    """Otherwise zeros for the sample would mean nothing."""
    assert distances(toy, toy.rows)["distance"].max() == 0
    assert correlation_differences(toy, toy.rows).max() == 0
    assert set(identical_rows(toy, toy.rows).values()) == {1200}
    assert nearest(toy, toy.rows, toy.rows).max() == pytest.approx(0)
    assert nearest(toy, toy.rows, toy.rows, skip=1).max() > 0.02


def test_judge_finds_another_distribution_far(toy: RealTable) -> None:
    moved = toy.rows.assign(Weight=toy.rows["Weight"] + 1000, Colour="Red")
    figures = distances(toy, moved)
    assert figures.loc["Weight", "distance"] == 1
    assert figures.loc["Colour", "distance"] == pytest.approx(2 / 3, abs=0.05)
    assert figures.loc["Size", "distance"] == 0
