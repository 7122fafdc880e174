"""A contract's target: its kinds, what they refuse, and what the digest covers."""

import pytest

from mlstack.contract import Contract
from mlstack.contract.target import MulticlassTarget, RegressionTarget
from mlstack.errors import ContractError
from tests.support.target_kinds import KINDS, contract_of, contract_text

BINARY, REGRESSION, MULTICLASS = map(contract_text, KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_is_read(kind: str) -> None:
    """Each kind has its own fields."""
    assert contract_of(kind).target.kind == kind


@pytest.mark.parametrize(
    ("text", "old", "new", "reason"),
    [
        (REGRESSION, "kind: regression", "kind: regresion", "regresion"),
        (REGRESSION, "kind: regression", "kind: no", "'no' would be read as false"),
        (REGRESSION, "range: [0, 500]", "range: [500, 0]", "the range of the target is empty"),
        (REGRESSION, "range: [0, 500]", "range: [0, 1e13]", "choose a larger unit"),
        (REGRESSION, "range: [0, 500]", "range: [0, many]", "target.range.1"),
        (REGRESSION, "deviations: [10, 30]", "deviations: [10, 0]", "greater than 0"),
        (REGRESSION, "deviations: [10, 30]", "deviations: [10, 10]", "appears twice"),
        (REGRESSION, "unit: minutes", "positive: minutes", "Extra inputs"),
        (MULTICLASS, "[delivered, returned, lost]", "[delivered, returned]", "at least 3"),
        (MULTICLASS, "[delivered, returned, lost]", "[lost, returned, lost]", "appears twice"),
        (MULTICLASS, "L: lost", "L: gone", "'gone', which is not one of the classes"),
        (MULTICLASS, ", L: lost", "", "no raw value maps to the class 'lost'"),
        (MULTICLASS, "['?']", "[L]", "'L' appears twice"),
        (MULTICLASS, "answer: forecast", "answer: probabilities", "another key of a response"),
        (MULTICLASS, "answer: forecast", "threshold: 0.5\nanswer: it", "only a binary target"),
        (BINARY, "answer: forecast", "threshold: 1\nanswer: it", "less than 1"),
        (BINARY, "answer: forecast", "threshold: 0.5\nanswer: decision", "another key"),
    ],
)
def test_mistake_in_a_target_is_refused(text: str, old: str, new: str, reason: str) -> None:
    """The error has the reason."""
    assert old in text
    with pytest.raises(ContractError) as caught:
        Contract.parse(text.replace(old, new, 1))
    assert reason in str(caught.value)
    assert caught.value.line is not None


def test_classes_stand_for_themselves_by_default() -> None:
    """Raw values and the raw column may be left out where they are the same."""
    start = MULTICLASS.index("raw_values: {D")
    text = MULTICLASS[:start] + MULTICLASS[MULTICLASS.index("ignored: ['?']") :]
    target = Contract.parse(text.replace("raw: Outcome, ", "")).target
    assert isinstance(target, MulticlassTarget)
    assert target.class_texts == {label: (label,) for label in target.classes}
    assert target.raw == "outcome"


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (REGRESSION, "unit: minutes", "unit: min"),
        (REGRESSION, "deviations: [10, 30]", "deviations: [20]"),
        (REGRESSION, "raw: Minutes, ", "raw: Minutes, "),
    ],
)
def test_digest_ignores_what_people_look_at(text: str, old: str, new: str) -> None:
    """Figures and units change without a training."""
    assert Contract.parse(text.replace(old, new)).digest == Contract.parse(text).digest


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (REGRESSION, "range: [0, 500]", "range: [0, 600]"),
        (REGRESSION, "How long", "How very long"),
        (MULTICLASS, "[delivered, returned, lost]", "[returned, delivered, lost]"),
        (MULTICLASS, "['?']", "['!']"),
        (MULTICLASS, "R: returned", "R: returned, r: returned"),
    ],
)
def test_digest_covers_the_target(text: str, old: str, new: str) -> None:
    """What decides learning and outcomes is part of it."""
    assert Contract.parse(text.replace(old, new)).digest != Contract.parse(text).digest


def test_target_tells_valid_outcomes() -> None:
    """The sentence completes 'must be ...'."""
    number, label = contract_of("regression").target, contract_of("multiclass").target
    assert isinstance(number, RegressionTarget)
    assert number.wanted == "a number from 0 to 500 (minutes)"
    assert label.wanted == 'one of "delivered", "returned", "lost"'
