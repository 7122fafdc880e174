"""The window holds the newest rows, each of them once."""

import numpy as np

from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from monitoring.evidently_service.rows import Row
from monitoring.evidently_service.window import Window
from tests.support.customers import contract_named

CONTRACT = contract_named("credit_card_churn")
CUSTOMER: Customer = dict(CONTRACT.example)


def _row(prediction_id: str | None, chance: float = 0.5, target: int | None = None) -> Row:
    return Row(CUSTOMER, chance, target, prediction_id, "a" * 32)


def _ids(window: Window) -> list[str | None]:
    return [row.prediction_id for row in window.snapshot().rows]


def test_window_drops_the_oldest_rows() -> None:
    """A full window makes room for new rows."""
    window = Window(3)
    assert window.add([_row(i) for i in "abcde"]) == 5
    assert _ids(window) == ["c", "d", "e"]


def test_repeated_row_only_adds_its_outcome() -> None:
    """It keeps its place and is not counted again."""
    window = Window(10)
    window.add([_row("a"), _row("b")])
    assert window.add([_row("a", target=1), _row("c")]) == 1
    assert _ids(window) == ["a", "b", "c"]
    assert [row.target for row in window.snapshot().rows] == [1, None, None]


def test_rows_without_id_are_all_kept() -> None:
    """Without an id, equal rows are different ones."""
    window = Window(10)
    assert window.add([_row(None), _row(None)]) == 2
    assert len(window) == 2


def test_prepended_rows_come_first_and_once() -> None:
    """Stored rows go in front of posted ones; a row that is both stays where it is."""
    window = Window(4)
    window.add([_row("d"), _row("e")])
    window.prepend([_row(i) for i in "abcd"])
    assert _ids(window) == ["b", "c", "d", "e"]


def test_later_outcome_replaces_the_earlier_one() -> None:
    """Outcomes are set by prediction id; unknown ids are ignored."""
    window = Window(10)
    window.add([_row("a"), _row("b"), _row(None)])
    window.set_outcomes({"a": 1, "unknown": 0})
    window.set_outcomes({"a": 0})
    assert [row.target for row in window.snapshot().rows] == [0, None, None]


def test_version_changes_with_the_content() -> None:
    """It changes with rows and outcomes, and only with them."""
    window = Window(10)
    versions = [window.snapshot().version]
    for change in (
        lambda: window.add([_row("a")]),
        lambda: window.set_outcomes({"a": 1}),
        lambda: window.prepend([_row("b")]),
    ):
        change()
        versions.append(window.snapshot().version)
    assert len(set(versions)) == len(versions)
    window.set_outcomes({"a": 1})
    assert window.snapshot().version == versions[-1]


def test_table_has_all_compared_columns() -> None:
    """Features, prediction, outcome and run id are columns."""
    window = Window(10)
    window.add([_row("a", 0.25, 1), _row("b", 0.5)])
    table = window.snapshot().table(CONTRACT)
    assert table[PREDICTION].tolist() == [0.25, 0.5]
    assert table[TARGET].tolist()[0] == 1
    assert np.isnan(table[TARGET][1])
    assert table["model_run_id"].tolist() == ["a" * 32] * 2
    assert set(CONTRACT.feature_names) <= set(table.columns)


def test_empty_window_is_an_empty_table() -> None:
    """Its table has no rows."""
    assert len(Window(10).snapshot().table(CONTRACT)) == 0
