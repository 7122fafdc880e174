"""The window holds the newest rows, each once."""

import numpy as np

from mlstack.contract.customer_schema import Customer
from mlstack.data.customer_table import PREDICTION, TARGET
from monitoring.evidently_service.rows import Row
from monitoring.evidently_service.window import Window
from support.customers import contract_named

CONTRACT = contract_named("credit_card_churn")
CUSTOMER: Customer = dict(CONTRACT.example)


def _row(prediction_id: str | None, chance: float = 0.5, target: int | None = None) -> Row:
    return Row(CUSTOMER, chance, target, prediction_id, "a" * 32)


def _ids(window: Window) -> list[str | None]:
    return [row.prediction_id for row in window.content().rows]


def test_the_oldest_rows_leave_first() -> None:
    window = Window(3)
    assert window.add([_row(i) for i in "abcde"]) == 5
    assert _ids(window) == ["c", "d", "e"]


def test_a_row_that_comes_again_is_counted_once_and_brings_its_outcome() -> None:
    window = Window(10)
    window.add([_row("a"), _row("b")])
    assert window.add([_row("a", target=1), _row("c")]) == 1
    assert _ids(window) == ["a", "b", "c"]
    assert [row.target for row in window.content().rows] == [1, None, None]


def test_rows_without_an_id_are_all_different() -> None:
    window = Window(10)
    assert window.add([_row(None), _row(None)]) == 2
    assert len(window) == 2


def test_what_was_stored_goes_before_what_came_since_and_is_not_counted_twice() -> None:
    window = Window(4)
    window.add([_row("d"), _row("e")])
    window.put_before([_row(i) for i in "abcd"])
    assert _ids(window) == ["b", "c", "d", "e"]


def test_outcomes_find_their_rows_and_a_later_one_counts() -> None:
    window = Window(10)
    window.add([_row("a"), _row("b"), _row(None)])
    window.learn({"a": 1, "unknown": 0})
    window.learn({"a": 0})
    assert [row.target for row in window.content().rows] == [0, None, None]


def test_the_version_changes_with_rows_and_outcomes_and_only_then() -> None:
    window = Window(10)
    versions = [window.content().version]
    for change in (
        lambda: window.add([_row("a")]),
        lambda: window.learn({"a": 1}),
        lambda: window.put_before([_row("b")]),
    ):
        change()
        versions.append(window.content().version)
    assert len(set(versions)) == len(versions)
    window.learn({"a": 1})
    assert window.content().version == versions[-1]


def test_the_table_has_a_column_for_everything_that_is_compared() -> None:
    window = Window(10)
    window.add([_row("a", 0.25, 1), _row("b", 0.5)])
    table = window.content().table(CONTRACT)
    assert table[PREDICTION].tolist() == [0.25, 0.5]
    assert table[TARGET].tolist()[0] == 1
    assert np.isnan(table[TARGET][1])
    assert table["model_run_id"].tolist() == ["a" * 32] * 2
    assert set(CONTRACT.feature_names) <= set(table.columns)


def test_an_empty_window_is_a_table_without_rows() -> None:
    assert len(Window(10).content().table(CONTRACT)) == 0
