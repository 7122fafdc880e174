"""The keeper stores every entry as soon as the storage answers, and loses none before."""

import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from mlstack.heartbeat import deployment_member
from mlstack.prediction_log import keeper as keeper_module
from mlstack.prediction_log.entry import OUTCOME, PREDICTION, Document, Entry
from mlstack.prediction_log.keeper import Keeper
from mlstack.prediction_log.metrics import KeeperMetrics
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.prediction_log.segment import Segment, SpoolError
from mlstack.settings import Settings
from mlstack.waiting import Stop
from tests.support.keeper import leave
from tests.support.waiting import wait_until
from tests.unit.mlstack.prediction_log.test_segment import damage_segment, write_segment


class Storage:
    """Keeps documents in memory; can be made to fail, and refuses what it is told to."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, str]] = []
        self.available = threading.Event()
        self.available.set()
        self.refused: set[str] = set()
        self.tries = 0

    def prepare(self) -> None:
        self._check()

    def store_predictions(self, documents: Sequence[Document]) -> dict[int, str]:
        return self._store(PREDICTION, documents)

    def store_outcomes(self, documents: Sequence[Document]) -> dict[int, str]:
        return self._store(OUTCOME, documents)

    def _store(self, kind: str, documents: Sequence[Document]) -> dict[int, str]:
        self._check()
        if any(d["_id"] == "defect" for d in documents):
            raise TypeError("unhashable")
        refused = {n: "no room" for n, d in enumerate(documents) if d["_id"] in self.refused}
        self.stored += [(kind, d["_id"]) for n, d in enumerate(documents) if n not in refused]
        return refused

    def _check(self) -> None:
        self.tries += 1
        if not self.available.is_set():
            raise StorageUnavailable("MongoDB: gone")


class Monitor:
    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, predictions: Sequence[Document]) -> None:
        self.told += [each["_id"] for each in predictions]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "_FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(keeper_module, "_LAST_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(keeper_module, "_GATHER_SECONDS", 0.01)


class Running:
    """A keeper at work in a thread, with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.spool, self.quarantine = folder / "spool", Quarantine(folder / "quarantine")
        self.storage, self.monitor, self.metrics = Storage(), Monitor(), KeeperMetrics()
        self.stop = Stop()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        parts = (self.spool, self.storage, self.monitor, self.quarantine, self.metrics)
        Keeper(*parts).run(self.stop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.request()
        self._thread.join()

    def leave(self, *entries: tuple[str, bytes], source: str = "api") -> Path:
        """Leave a closed segment with entries."""
        return leave(self.spool, *entries, source=source)

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def is_empty(self) -> bool:
        return Segment.paths(self.spool) == []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path) as running:
        yield running


def body(name: str) -> bytes:
    return json.dumps({"_id": name}).encode()


def test_outcomes_are_stored_before_predictions(running: Running) -> None:
    """Entries of one kind are stored in order; the monitor gets the predictions only."""
    running.leave((PREDICTION, body("1")), (PREDICTION, body("2")), (OUTCOME, body("1")))
    wait_until(running.is_empty, "everything is stored")
    assert running.storage.stored == [(OUTCOME, "1"), (PREDICTION, "1"), (PREDICTION, "2")]
    assert running.monitor.told == ["1", "2"]
    assert running.metric("mlstack_log_stored_total", sink="mongodb") == 3


def test_scored_tables_are_stored_and_not_monitored(running: Running) -> None:
    batch = json.dumps({"_id": "1", "source": "batch"}).encode()
    running.leave((PREDICTION, batch), (PREDICTION, body("2")))
    wait_until(running.is_empty, "everything is stored")
    assert running.storage.stored == [(PREDICTION, "1"), (PREDICTION, "2")]
    assert running.monitor.told == ["2"]


def test_entries_wait_while_storage_is_down(running: Running) -> None:
    """Entries wait while the storage is down, and are stored when it is back."""
    running.storage.available.clear()
    segment = Segment.create(running.spool, "kinesis")
    segment.append(PREDICTION, [body(str(i)) for i in range(1200)])
    segment.close()
    shown = {"source": "kinesis"}
    wait_until(lambda: running.metric("mlstack_spool_records", **shown) == 1200, "it is shown")
    assert running.metric("mlstack_spool_oldest_seconds", **shown) > 0
    tries = running.storage.tries
    wait_until(lambda: running.storage.tries > tries + 3, "storing is tried again")
    assert running.storage.stored == []
    running.storage.available.set()
    wait_until(running.is_empty, "the backlog is stored")
    assert [int(name) for _, name in running.storage.stored] == list(range(1200))
    wait_until(lambda: running.metric("mlstack_spool_records", **shown) == 0, "it is gone")
    assert running.metric("mlstack_spool_oldest_seconds", **shown) == 0


def test_segment_in_use_is_left_alone(running: Running) -> None:
    """What a living server writes is counted and not taken."""
    segment = Segment.create(running.spool, "api")
    segment.append(PREDICTION, [body("1")])
    wait_until(lambda: running.metric("mlstack_spool_records", source="api") == 1, "it is counted")
    running.leave((PREDICTION, body("2")))
    wait_until(lambda: running.storage.stored, "another one is stored")
    assert running.storage.stored == [(PREDICTION, "2")]
    segment.close()
    wait_until(running.is_empty, "it is taken once it is closed")
    assert running.storage.stored[1:] == [(PREDICTION, "1")]


@pytest.mark.parametrize(
    ("kind", "content", "reason"),
    [
        ("no such kind", body("bad"), "the kind 'no such kind' is unknown"),
        (PREDICTION, b"{", "it is no JSON"),
        (PREDICTION, b"\xff\xfe", "it is no JSON"),
        (PREDICTION, b"[1]", "it is no JSON object"),
        (PREDICTION, b"[" * 100_000, "it is no JSON"),
        (PREDICTION, b'{"_id": 1' + b"0" * 5000 + b"}", "it is no JSON"),
        (PREDICTION, b'{"_id": 1' + b"0" * 400 + b"}", "it is no JSON"),
        (OUTCOME, body("refused"), "no room"),
        (PREDICTION, body("defect"), "defect: TypeError('unhashable')"),
    ],
)
def test_unstorable_entry_holds_up_nobody(
    running: Running, kind: str, content: bytes, reason: str
) -> None:
    """It goes to quarantine, once, with its reason; the others are stored."""
    running.storage.refused = {"refused"}
    running.leave((PREDICTION, body("1")), (kind, content), (OUTCOME, body("2")), source="kinesis")
    running.leave((kind, content), (PREDICTION, body("3")))
    wait_until(running.is_empty, "the spool is empty")
    # An entry that is stored again changes nothing.
    stored = sorted(set(running.storage.stored))
    assert stored == [(OUTCOME, "2"), (PREDICTION, "1"), (PREDICTION, "3")]
    (found,) = running.quarantine.entries()
    assert reason in found.reason
    assert (found.kind, found.body) == (kind, content)
    wait_until(lambda: running.metric("mlstack_quarantine_records") == 1, "it is shown")


def test_damaged_row_is_quarantined(running: Running) -> None:
    """A row whose values have other types holds up nobody."""
    path = leave(running.spool.with_name("aside"), (PREDICTION, body("1")), (PREDICTION, body("2")))
    segment = Segment(path, existing=True)
    segment._connection.execute("UPDATE entry SET body = 17, written_at = 'x' WHERE number = 1")
    segment.close()
    running.spool.mkdir(exist_ok=True)
    path.replace(running.spool / path.name)
    wait_until(lambda: running.storage.stored, "the good one is stored")
    wait_until(lambda: running.quarantine.count() == 1, "the bad one is in quarantine")
    assert running.storage.stored == [(PREDICTION, "2")]


def test_damaged_file_is_quarantined(tmp_path: Path) -> None:
    """What can be read is stored, the file goes to quarantine whole, the others are stored."""
    damage_segment(tmp_path / "spool" / "api-broken.spool", entries=2000)
    (tmp_path / "spool" / "api-none.spool").write_bytes(b"no database" * 1000)
    with Running(tmp_path) as running:
        running.leave((PREDICTION, body("1")))
        wait_until(running.is_empty, "the spool is empty")
    assert (PREDICTION, "1") in running.storage.stored
    files = [e for e in running.quarantine.entries() if e.kind == "file"]
    assert [e.body for e in files] == [b"api-broken.spool", b"api-none.spool"]
    assert all((tmp_path / "quarantine" / e.body.decode()).exists() for e in files)


def test_cut_off_file_is_quarantined(tmp_path: Path) -> None:
    """What stands before the cut is stored, the file goes to quarantine."""
    write_segment(tmp_path / "spool" / "api-cut.spool", entries=2000)
    with (tmp_path / "spool" / "api-cut.spool").open("r+b") as file:
        file.truncate(300_000)
    with Running(tmp_path) as running:
        running.leave((PREDICTION, body("1")))
        wait_until(running.is_empty, "the spool is empty")
    assert (PREDICTION, "1") in running.storage.stored
    found = running.quarantine.entries()
    assert [e.body for e in found if e.kind == "file"] == [b"api-cut.spool"]
    assert len([e for e in found if e.kind == PREDICTION]) > 1000  # they are no JSON


def test_failing_segment_does_not_hold_up_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be read for a while is tried again, beside the others."""
    bad = leave(tmp_path / "spool", (PREDICTION, body("bad")), source="a-bad")
    failing = threading.Event()
    failing.set()
    read = Segment.read

    def fail(segment: Segment, most: int) -> list[Entry]:
        if segment.path == bad and failing.is_set():
            raise SpoolError("disk I/O error")
        return read(segment, most)

    monkeypatch.setattr(Segment, "read", fail)
    with Running(tmp_path) as running:
        running.leave((PREDICTION, body("good")))
        wait_until(lambda: running.storage.stored == [(PREDICTION, "good")], "the good is stored")
        failing.clear()
        wait_until(running.is_empty, "the other one is stored too")
    assert running.storage.stored[1:] == [(PREDICTION, "bad")]


def test_many_segments_need_few_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of segments are stored without as many open files."""
    monkeypatch.setattr(keeper_module, "_OPEN_SEGMENTS", 3)
    names = [str(number) for number in range(20)]
    for name in names:
        leave(tmp_path / "spool", (PREDICTION, body(name)))
    most = []
    opened = Segment.__init__

    def count(segment: Segment, path: Path, *, existing: bool = False) -> None:
        opened(segment, path, existing=existing)
        most.append(path)

    monkeypatch.setattr(Segment, "__init__", count)
    with Running(tmp_path) as running:
        wait_until(running.is_empty, "everything is stored")
    assert sorted(running.storage.stored) == sorted((PREDICTION, name) for name in names)
    assert len(most) == 20


@pytest.mark.parametrize(("source", "before"), [("batch", 2), ("api", 8)])
def test_backlog_of_one_source_leaves_room_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, before: int
) -> None:
    """A server's entry is stored in the next turn, however many of other sources wait."""
    monkeypatch.setattr(keeper_module, "_BATCH", 1)
    for number in range(10):
        rows = [(PREDICTION, body(f"{number}-{row}")) for row in range(3)]
        leave(tmp_path / "spool", *rows, source=source)
    leave(tmp_path / "spool", (PREDICTION, body("live")), source="kinesis")
    with Running(tmp_path) as running:
        wait_until(running.is_empty, "everything is stored")
    assert running.storage.stored.index((PREDICTION, "live")) <= before
    assert len(running.storage.stored) == 31


def test_quarantine_that_fails_loses_nothing(tmp_path: Path) -> None:
    """An entry that cannot even go to quarantine stays in the spool."""
    (tmp_path / "quarantine").write_text("a file where the folder should be")
    leave(tmp_path / "spool", (PREDICTION, b"{"), (PREDICTION, body("1")))
    with Running(tmp_path) as running:
        wait_until(lambda: running.storage.tries, "storing is tried")
        assert not running.is_empty()
        (tmp_path / "quarantine").unlink()
        wait_until(running.is_empty, "it is in quarantine")
    assert running.quarantine.count() == 1
    assert (PREDICTION, "1") in running.storage.stored


def test_damaged_quarantine_holds_up_no_good_entry(tmp_path: Path) -> None:
    """Only the entry that belongs there waits until the file was moved away."""
    database = tmp_path / "quarantine" / "entries.db"
    database.parent.mkdir()
    database.write_bytes(b"no database" * 1000)
    leave(tmp_path / "spool", (PREDICTION, b"{"), (PREDICTION, body("0")), source="a-bad")
    good = leave(tmp_path / "spool", (PREDICTION, body("1")), source="b-good")
    with Running(tmp_path) as running:
        wait_until(lambda: not good.exists(), "the good segment is stored")
        assert not running.is_empty()
        database.unlink()
        wait_until(running.is_empty, "the bad entry is in quarantine")
    assert set(running.storage.stored) == {(PREDICTION, "0"), (PREDICTION, "1")}
    assert running.quarantine.count() == 1


def test_large_integer_is_a_double(running: Running) -> None:
    """BSON has no integers beyond 64 bits: they are stored as the numbers that they are."""
    seen = list[Any]()
    running.storage.store_predictions = lambda documents: seen.extend(documents) or {}  # type: ignore[func-returns-value, method-assign]  # a test double
    running.leave(
        (PREDICTION, b'{"_id": "1", "a": 25000000000000000000, "b": -9223372036854775808}')
    )
    wait_until(running.is_empty, "it is stored")
    assert seen == [{"_id": "1", "a": 2.5e19, "b": -(2**63)}]
    assert isinstance(seen[0]["a"], float)


def test_cut_off_member_is_shown(tmp_path: Path) -> None:
    """Only where machines share a deployment record."""
    metrics, member = KeeperMetrics(), deployment_member(Settings(state_dir=tmp_path))

    def shown() -> float | None:
        return metrics.registry.get_sample_value("mlstack_deployment_cut_off")

    assert shown() is None
    metrics.watch_member(member)
    assert shown() == 1
    member.beat()
    assert shown() == 0
