"""The stream simulator knows which of its records were answered, how fast, and which are not."""

import pytest

from simulation_business import ledger as module
from simulation_business.ledger import Ledger


def test_answer_is_counted_once_with_its_time() -> None:
    ledger = Ledger(60)
    ledger.put(["one", "two"], at=10)
    assert ledger.settle("one", at=10.5) == 0.5
    assert ledger.settle("one", at=11) is None
    assert ledger.waiting == 1


def test_answer_to_somebody_else_is_ignored() -> None:
    assert Ledger(60).settle("other", at=1) is None


def test_missing_record_is_named_once_and_its_late_answer_noticed() -> None:
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
    monkeypatch.setattr(module, "MOST_MISSING", 2)
    ledger = Ledger(60)
    ledger.put(["1", "2", "3"], at=0)
    assert ledger.overdue(at=100) == ["1", "2", "3"]
    assert ledger.missing == 2
    assert ledger.settle("1", at=101) is None
