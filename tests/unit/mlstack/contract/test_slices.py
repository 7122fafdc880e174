"""The contract's slices: what it may name, and that no model depends on them."""

import pytest

from mlstack.contract import Contract
from mlstack.errors import ContractError
from tests.support.every_kind import TEXT, every_kind


def with_slices(*slices: str) -> str:
    lines = "".join(f"  - {each}\n" for each in slices)
    return TEXT.replace("features:", f"slices:\n{lines}features:", 1)


@pytest.mark.parametrize(
    ("slices", "reason"),
    [
        (("{feature: colour}",), "slices.0.feature: 'colour' is not among the features"),
        (("{feature: size}", "{feature: size}"), "slices.1.feature: 'size' appears twice"),
        (("{feature: delivered}",), "is a date, which has no slices"),
        (("{feature: size, cuts: [1]}",), "slices.0.cuts: only numbers have cuts"),
        (("{feature: items}",), "slices.0.cuts: 'items' is a number: list where its slices end"),
        (("{feature: weight, cuts: [2, 2]}",), "slices.0.cuts: must ascend"),
        (("{feature: weight, cuts: [0, 2]}",), "must be above 0"),
        (("{feature: weight, cuts: [31]}",), "at most 30"),
        (("{feature: items, cuts: [1.5]}",), "must be whole numbers"),
    ],
)
def test_unsuitable_slices_are_refused(slices: tuple[str, ...], reason: str) -> None:
    """The error has the place, and says what a feature of the kind may have."""
    with pytest.raises(ContractError, match=reason) as caught:
        Contract.parse(with_slices(*slices))
    assert caught.value.line is not None


def test_slices_do_not_change_the_digest() -> None:
    """A deployed model stays one of the contract when somebody adds slices."""
    text = with_slices("feature: country", "{feature: weight, cuts: [1, 2.5]}")
    assert Contract.parse(text).digest == every_kind().digest
