"""Work ahead: the next item is made while the last one is used."""

from collections.abc import Iterator

import pytest

from operations.scoring.ahead import ahead
from tests.support.waiting import wait_until


def test_next_item_is_made_meanwhile() -> None:
    """One item and no more, so that memory does not grow."""
    made = list[int]()

    def items() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            yield number

    taken = ahead(items())
    for number in range(3):
        assert next(taken) == number
        wait_until(lambda number=number: len(made) == number + 2, "the next item is made")  # type: ignore[misc] # mypy#15459
    assert [*taken] == [3]


def test_error_of_an_item_is_raised() -> None:
    """It ends the items where they are used."""

    def items() -> Iterator[int]:
        yield 1
        raise ValueError("damaged")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(taken)
