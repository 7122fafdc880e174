"""Model cards: measured, complete for every kind of target, and without a row of the table."""

import logging
import re
from dataclasses import replace

import pytest

from mlstack.model.target_columns import labels
from model_orchestration import model_train_flow as training
from model_orchestration.metrics import evaluate
from model_orchestration.model_card.measured import measure_model
from tests.support.model_cards import ORIGIN, REGISTERED, card_of, example
from tests.support.target_kinds import KINDS, contract_text


@pytest.mark.parametrize("kind", KINDS)
def test_card_has_the_measured_figures(kind: str) -> None:
    """They are those that MLflow gets, each with an interval around it."""
    found = example(kind)
    measured = measure_model(found.contract, found.parts.test, found.scores)
    figures = {figure.title: figure for figure in measured.figures}
    outcomes = labels(found.contract.target, found.parts.test[found.contract.target.name])
    known = evaluate(found.contract.target, outcomes, found.scores)
    for title, name in {"rmse": "rmse", "AUC": "auc", "macro AUC": "auc", "MAE": "mae"}.items():
        if title in figures:
            value = float(figures[title].value)
            assert value == pytest.approx(known[name], rel=1e-3, abs=1e-3)
            low, high = map(float, figures[title].interval.split(" to "))
            assert low < value < high
    page = card_of(found).page
    for each in measured.figures:
        assert f'{each.title}</th><td role="cell" data-label="test rows">{each.value}<' in page
        assert each.interval in page
    assert '<svg xmlns="http://www.w3.org/2000/svg" class="chart"' in page
    assert f"<code>{'d' * 64}</code>" in page
    assert "10 rows without a target" in page


@pytest.mark.parametrize("kind", KINDS)
def test_card_loads_nothing_and_runs_nothing(kind: str) -> None:
    """It opens as a file, without a network and without scripts."""
    page = card_of(example(kind)).page
    assert set(re.findall(r'(?:src|href)="([^"#]+)"', page)) == {"data:,"}
    assert not re.search(r"<script|url\((?!#)|@import|\son\w+=", page)


def test_card_escapes_the_contracts_texts() -> None:
    """A meaning or a class is text, never markup."""
    text = contract_text("multiclass").replace("What becomes", "<b>What</b> becomes")
    page = card_of(example("multiclass", text=text)).page
    assert "&lt;b&gt;What&lt;/b&gt; becomes" in page
    assert "<b>" not in page


def test_card_shows_slices_with_enough_rows() -> None:
    """Others have their number of rows alone, among the limits."""
    found = example("binary")
    measured = measure_model(found.contract, found.parts.test, found.scores)
    shown, small = ([str(each) for each in some] for some in (measured.slices, measured.small))
    assert len(shown) + len(small) == 2 + 3 + 1
    assert any(each.startswith("distance 99 or more (") for each in small)
    assert any(each.startswith("distance not given (") for each in small)
    assert not shown
    assert all(each.figures == () for each in measured.small)
    assert measured.figures
    page = card_of(found).page
    assert f"Slices with fewer than 200 test rows have no figures: {small[0]}" in page


def test_slices_of_a_card_are_measured_like_all_rows() -> None:
    """A slice has the figures of a test with its rows alone."""
    found = example("regression", rows=3000)
    measured = measure_model(found.contract, found.parts.test, found.scores)
    home = next(each for each in measured.slices if each.label == "home")
    chosen = (found.parts.test["country"] == "home").to_numpy()
    alone = measure_model(found.contract, found.parts.test[chosen], found.scores[chosen])
    assert home.rows == chosen.sum()
    assert home.figures == alone.figures


def test_card_has_no_row_of_the_table() -> None:
    """Neither its extremes, which may name somebody, nor what a single row has."""
    found = example("regression")
    train = found.parts.train.copy()
    extremes = [0.012345, 99.987654, 54.321678]
    train.loc[train.index[:3], "distance"] = extremes
    page = card_of(replace(found, parts=found.parts._replace(train=train))).page
    assert 'data-label="training rows"><span>0.' in page
    for value in extremes:
        assert str(value)[:6] not in page


def test_card_of_few_test_rows_says_so() -> None:
    """It has neither figures nor a chart."""
    card = card_of(example("binary", rows=300))
    assert "too few outcomes (60); figures need 200" in card.summary
    assert "too few outcomes (60); figures need 200" in card.page
    assert "<svg" not in card.page


def test_limits_name_what_was_not_learnt() -> None:
    """Values that the contract allows and no training row has, and rows that were left out."""
    found = example("binary")
    train = found.parts.train.assign(country="home")
    never = card_of(replace(found, parts=found.parts._replace(train=train))).page
    assert "No training row has country near." in never
    assert "10 of 1,510 raw rows were left out" in never
    assert "home 100.0%, near 0.0%" in never


def test_failed_card_is_said_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The version stays registered, whatever goes wrong while it is described."""
    found = example("binary", rows=300)

    def fail(*_: object) -> None:
        raise ValueError("no room for the axes")

    monkeypatch.setattr(training, "make_card", fail)
    monkeypatch.setattr(training, "get_run_logger", lambda: logging.getLogger("a run"))
    training.write_card.fn(found.contract, REGISTERED, ORIGIN, found.parts, found.scores)
    assert "version 3 is registered, but its model card is missing or incomplete: " in caplog.text
    assert "ValueError: no room for the axes" in caplog.text
