"""The drainer stores every entry as soon as the storage answers, and loses none before."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from mlstack.prediction_log import drainer as drainer_module
from mlstack.prediction_log.drainer import OUTCOME, PREDICTION, Backlog, Drainer
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.spool import Spool, SpoolError
from tests.support.waiting import wait_until


class Storage:
    """Keeps documents in memory; can be made to fail."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, dict[str, Any]]] = []
        self.available = threading.Event()
        self.available.set()
        self.tries = 0

    def prepare(self) -> None:
        self._check()

    def store_predictions(self, documents: Sequence[dict[str, Any]]) -> None:
        self._check()
        self.stored += [(PREDICTION, document) for document in documents]

    def store_outcomes(self, documents: Sequence[dict[str, Any]]) -> None:
        self._check()
        self.stored += [(OUTCOME, document) for document in documents]

    def _check(self) -> None:
        self.tries += 1
        if not self.available.is_set():
            raise StorageUnavailable("MongoDB: gone")


class Monitor:
    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def tell(self, predictions: Sequence[dict[str, Any]]) -> None:
        self.told += predictions


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drainer_module, "_FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(drainer_module, "_LAST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(drainer_module, "_ADOPT_SECONDS", 0.1)


class Running:
    """A drainer at work, with everything around it."""

    def __init__(self, folder: Path, *, available: bool = True) -> None:
        self.spool = Spool.of_this_process(folder, "api")
        self.storage, self.monitor = Storage(), Monitor()
        if not available:
            self.storage.available.clear()
        self.backlogs: list[Backlog] = []
        self.counted = 0
        self.drainer = Drainer(self.spool, self.storage, self.monitor, self._observe)

    def _observe(self, backlog: Backlog, stored: int) -> None:
        self.backlogs.append(backlog)
        self.counted += stored

    def __enter__(self) -> Self:
        self.drainer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.drainer.stop()
        self.spool.close()


def test_entries_are_stored_in_order(
    tmp_path: Path,
) -> None:
    """Entries are stored in order; the monitor gets the predictions only."""
    with Running(tmp_path) as running:
        running.spool.append(PREDICTION, [b'{"_id": "1"}', b'{"_id": "2"}'])
        running.spool.append(OUTCOME, [b'{"_id": "1"}'])
        wait_until(lambda: running.counted == 3, "everything is stored")
    assert [(kind, d["_id"]) for kind, d in running.storage.stored] == [
        (PREDICTION, "1"),
        (PREDICTION, "2"),
        (OUTCOME, "1"),
    ]
    assert [d["_id"] for d in running.monitor.told] == ["1", "2"]


def test_entries_wait_while_storage_is_down(tmp_path: Path) -> None:
    """Entries wait while the storage is down, and are stored when it is back."""
    with Running(tmp_path) as running:
        running.storage.available.clear()
        running.spool.append(PREDICTION, [b'{"_id": "%d"}' % i for i in range(1200)])
        wait_until(lambda: running.storage.tries > 3, "storing is tried again")
        wait_until(lambda: running.backlogs[-1].records == 1200, "the backlog is shown")
        assert running.backlogs[-1].oldest_seconds > 0
        assert running.storage.stored == []
        running.storage.available.set()
        wait_until(lambda: running.counted == 1200, "the backlog is stored")
        wait_until(lambda: running.backlogs[-1] == Backlog(0, 0.0), "the backlog is gone")
    assert [int(d["_id"]) for _, d in running.storage.stored] == list(range(1200))


def test_spool_of_a_dead_process_is_drained(tmp_path: Path) -> None:
    """The spool of a dead process is drained and removed."""
    left = Spool.of_this_process(tmp_path, "kinesis")
    left.append(PREDICTION, [b'{"_id": "left"}'])
    left.close()
    with Running(tmp_path) as running:
        wait_until(lambda: running.counted == 1, "the entry is stored")
        wait_until(lambda: not left.path.exists(), "the empty spool is removed")


def test_entries_left_at_the_end_stay(tmp_path: Path) -> None:
    """Entries that are left when the drainer stops stay in the spool."""
    with Running(tmp_path) as running:
        running.storage.available.clear()
        running.spool.append(PREDICTION, [b'{"_id": "1"}'])
    (path,) = Spool.paths(tmp_path)
    adopted = Spool(path, adopted=True)
    assert [entry.body for entry in adopted.read(10)] == [b'{"_id": "1"}']
    adopted.close()


def test_unreadable_spool_does_not_stop_others(tmp_path: Path) -> None:
    """A spool that cannot be read does not keep others from being drained."""
    (tmp_path / "a-first.spool").write_bytes(b"no database" * 100)
    left = Spool.of_this_process(tmp_path, "kinesis")
    left.append(PREDICTION, [b'{"_id": "left"}'])
    left.close()
    with Running(tmp_path) as running:
        wait_until(lambda: running.counted == 1, "the entry is stored")
        running.spool.append(PREDICTION, [b'{"_id": "own"}'])
        wait_until(lambda: running.counted == 2, "this process's own is stored too")


def test_backlog_counts_spools_of_dead_processes(
    tmp_path: Path,
) -> None:
    """Entries of dead processes are in the backlog even while the storage is down."""
    left = Spool.of_this_process(tmp_path, "kinesis")
    left.append(PREDICTION, [b'{"_id": "1"}', b'{"_id": "2"}'])
    left.close()
    with Running(tmp_path, available=False) as running:
        wait_until(lambda: any(b.records == 2 for b in running.backlogs), "the backlog is shown")


@pytest.mark.parametrize("fault", ["unknown kind", "broken body", "unreadable"])
def test_failing_spool_does_not_slow_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A spool that cannot be drained does not slow others down."""
    monkeypatch.setattr(drainer_module, "_FIRST_RETRY_SECONDS", 60)
    monkeypatch.setattr(drainer_module, "_LAST_RETRY_SECONDS", 60)
    bad, good = (Spool.of_this_process(tmp_path, name) for name in ("a-bad", "b-good"))
    kind = "no such kind" if fault == "unknown kind" else PREDICTION
    bad.append(kind, [b"{" if fault == "broken body" else b'{"_id": "bad"}'])
    good.append(PREDICTION, [b'{"_id": "good"}'])
    for spool in (bad, good):
        spool.close()
    read = Spool._oldest

    def fail(spool: Spool, columns: str, most: int) -> list[Any]:
        if spool.path == bad.path and fault == "unreadable":
            raise SpoolError("disk I/O error")
        return read(spool, columns, most)

    monkeypatch.setattr(Spool, "_oldest", fail)
    with Running(tmp_path) as running:
        wait_until(lambda: running.counted == 1, "the good one is drained")
        running.spool.append(PREDICTION, [b'{"_id": "%d"}' % i for i in range(1200)])
        wait_until(lambda: running.counted == 1201, "this process's own is drained", seconds=10)
        wait_until(lambda: running.backlogs[-1].records == 1, "the bad one's entry is counted")
    left = Spool(bad.path, adopted=True)
    assert left.pending == 1
    left.close()


def test_draining_survives_read_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draining goes on after a disk failed to read for a while."""
    failing, tries = threading.Event(), list[str]()
    read = Spool._oldest

    def fail(spool: Spool, columns: str, most: int) -> list[Any]:
        if failing.is_set():
            tries.append(columns)
            raise SpoolError("disk I/O error")
        return read(spool, columns, most)

    monkeypatch.setattr(Spool, "_oldest", fail)
    with Running(tmp_path) as running:
        failing.set()
        running.spool.append(PREDICTION, [b'{"_id": "1"}'])
        wait_until(lambda: len(tries) > 3, "reading is tried again")
        failing.clear()
        wait_until(lambda: running.counted == 1, "the entry is stored")
