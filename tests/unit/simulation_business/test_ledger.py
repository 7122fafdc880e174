"""The ledger knows which records were answered, how fast, and which are missing."""

import pytest

from simulation_business import ledger as module
from simulation_business.ledger import Ledger


def test_answer_counts_once() -> None:
    """The first answer settles a record and tells how long it took."""
    ledger = Ledger(60)
    ledger.put(["one", "two"], at=10)
    assert ledger.settle("one", at=10.5) == 0.5
    assert ledger.settle("one", at=11) is None
    assert ledger.waiting == 1


def test_answer_of_other_sender_is_ignored() -> None:
    """A record that was not put here is not settled here."""
    assert Ledger(60).settle("other", at=1) is None


def test_missing_record_is_named_once() -> None:
    """A record is named when it becomes missing; a late answer still settles it."""
    ledger = Ledger(60)
    ledger.put(["late", "never"], at=0)
    ledger.put(["new"], at=50)
    assert ledger.overdue(at=60) == []
    assert ledger.overdue(at=61) == ["late", "never"]
    assert ledger.overdue(at=62) == []
    assert (ledger.waiting, ledger.missing) == (1, 2)
    assert ledger.settle("late", at=100) == 100
    assert (ledger.waiting, ledger.missing) == (1, 1)


def test_missing_records_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest missing records are forgotten."""
    monkeypatch.setattr(module, "MAX_MISSING", 2)
    ledger = Ledger(60)
    ledger.put(["1", "2", "3"], at=0)
    assert ledger.overdue(at=100) == ["1", "2", "3"]
    assert ledger.missing == 2
    assert ledger.settle("1", at=101) is None
