"""Entries of a segment survive any kill, once each and in order."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlstack.prediction_log import segment as segment_module
from mlstack.prediction_log.damaged_segment import move_damaged, salvage
from mlstack.prediction_log.segment import Segment, SegmentDamaged, SegmentInUse, SpoolError
from mlstack.prediction_log.segment_view import Backlog, backlog, bodies_with
from mlstack.settings import ROOT

PAGE = 8192


def bodies(segment: Segment) -> list[bytes]:
    return [entry.body for entry in segment.read(10_000)]


def test_entries_are_read_in_order_until_removed(tmp_path: Path) -> None:
    """Entries are read in order until they are removed."""
    segment = Segment(tmp_path / "a.spool")
    segment.append("prediction", [b"1", b"2"])
    segment.append("outcome", [b"3"])
    first = segment.read(2)
    assert [(e.kind, e.body) for e in first] == [("prediction", b"1"), ("prediction", b"2")]
    segment.remove(first)
    assert (bodies(segment), segment.pending) == ([b"3"], 1)
    segment.close()


def test_entries_are_found_while_their_process_writes(tmp_path: Path) -> None:
    """By kind and text; a file that is gone or damaged has none."""
    segment = Segment(tmp_path / "a.spool")
    segment.append("prediction", [b"one", b"two"])
    segment.append("outcome", [b"one"])
    found = [list(bodies_with(segment.path, "prediction", text)) for text in (b"one", b"", b"x")]
    assert found == [[b"one"], [b"one", b"two"], []]
    segment.close()
    (tmp_path / "b.spool").write_bytes(b"no database" * 100)
    for name in ("b.spool", "c.spool"):
        assert list(bodies_with(tmp_path / name, "prediction", b"")) == []


def test_entries_outlive_their_process(tmp_path: Path) -> None:
    """Acknowledged entries survive a SIGKILL of their process."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from mlstack.prediction_log.segment import Segment\n"
        "segment = Segment(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    segment.append('prediction', [str(number).encode()])\n"
        "    print(number, flush=True)\n"
    )
    path = tmp_path / "a.spool"
    writer = subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert writer.stdout
    acknowledged = [int(writer.stdout.readline()) for _ in range(3000)]
    os.kill(writer.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in writer.stdout if line.endswith("\n")]
    writer.wait()
    writer.stdout.close()
    segment = Segment(path, existing=True)
    kept = [int(entry.body) for entry in segment.read(10**6)]
    # One more may have been written than could be told.
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) <= 1
    segment.close()


def test_living_process_keeps_its_segment(tmp_path: Path) -> None:
    """A segment that is in use cannot be opened."""
    segment = Segment(tmp_path / "a.spool")
    for existing in (False, True):
        with pytest.raises(SegmentInUse):
            Segment(tmp_path / "a.spool", existing=existing)
    segment.close()


def test_closed_segment_with_entries_stays(tmp_path: Path) -> None:
    """A closed segment with entries is there for whoever opens it next."""
    segment = Segment.create(tmp_path, "api")
    segment.append("prediction", [b"1"])
    segment.close()
    (path,) = Segment.paths(tmp_path)
    again = Segment(path, existing=True)
    assert bodies(again) == [b"1"]
    again.close()


def test_empty_segment_leaves_no_file(tmp_path: Path) -> None:
    """An empty segment is removed when it is closed."""
    segment = Segment.create(tmp_path, "api")
    segment.append("prediction", [b"1"])
    segment.remove(segment.read(1))
    segment.close()
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_no_entry(tmp_path: Path) -> None:
    """A failed write keeps none of its entries, and the next write works."""
    segment = Segment(tmp_path / "a.spool")
    segment.append("prediction", [b"1"])
    segment._connection.execute("PRAGMA max_page_count = 3")
    with pytest.raises(SpoolError, match="full"):
        segment.append("prediction", [b"x" * 1000 for _ in range(100)])
    segment._connection.execute("PRAGMA max_page_count = 1000000")
    segment.append("prediction", [b"2"])
    assert (bodies(segment), segment.pending) == ([b"1", b"2"], 2)
    segment.close()


def test_failed_creation_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk does not fill up with empty segments."""

    def fail(path: Path, **_: object) -> sqlite3.Connection:
        path.touch()
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(segment_module, "_open", fail)
    for _ in range(3):
        with pytest.raises(SpoolError, match="full"):
            Segment.create(tmp_path, "api")
    assert list(tmp_path.iterdir()) == []


def test_backlog_is_known_while_in_use(tmp_path: Path) -> None:
    """Number and age of the entries can be read while another process writes."""
    segment = Segment(tmp_path / "a.spool")
    assert backlog(segment.path) == Backlog(0, None)
    segment.append("prediction", [b"1", b"2", b"3"])
    found = backlog(segment.path)
    assert (found.records, found.oldest_at) == (3, segment.read(1)[0].written_at)
    assert time.time() - 60 < segment.read(1)[0].written_at <= time.time()
    segment.close()


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\0" + b"x" * 5000])
def test_damaged_file_is_told_from_a_busy_disk(tmp_path: Path, content: bytes) -> None:
    """A file that is no database can never be read; it moves away whole."""
    path = tmp_path / "a.spool"
    path.write_bytes(content)
    with pytest.raises(SegmentDamaged):
        Segment(path, existing=True)
    assert backlog(path) == Backlog(0, None)
    move_damaged(path, tmp_path / "aside")
    assert Segment.paths(tmp_path) == []
    assert (tmp_path / "aside" / "a.spool").read_bytes() == content


def saved(path: Path) -> list[int]:
    """The numbers that were written to a damaged segment and are read from it."""
    starts = (entry.body.split(b" ", 1)[0] for entry in salvage(path))
    return [int(start) for start in starts if start.isdigit()]


def check(path: Path) -> None:
    segment = Segment(path, existing=True)
    try:
        segment.check()
    finally:
        segment.abandon()


def test_rest_of_a_damaged_segment_is_salvaged(tmp_path: Path) -> None:
    """Entries on readable pages are read, the others are left out."""
    damage_segment(tmp_path / "a.spool", entries=2000)
    segment = Segment(tmp_path / "a.spool", existing=True)
    with pytest.raises(SegmentDamaged):
        segment.read(10_000)
    segment.abandon()
    numbers = saved(tmp_path / "a.spool")
    assert 1000 < len(numbers) < 2000
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 1999


def test_cut_off_segment_is_salvaged(tmp_path: Path) -> None:
    """SQLite opens none of it, yet what stands before the cut is read."""
    path = tmp_path / "a.spool"
    write_segment(path, entries=2000)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)
    with pytest.raises(SegmentDamaged):
        check(path)
    assert 800 < len(saved(path)) < 1200


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_half_a_lost_page_is_noticed(tmp_path: Path, share: float) -> None:
    """A page with zeros in it reads like one with fewer entries, and the file would be removed."""
    path = tmp_path / "a.spool"
    write_segment(path, entries=2000)
    check(path)
    pages = path.stat().st_size // PAGE
    with path.open("r+b") as file:
        file.seek(int(pages * share) * PAGE + PAGE // 2)
        file.write(b"\0" * (PAGE // 2))
    with pytest.raises(SegmentDamaged, match="is damaged"):
        check(path)
    assert len(set(saved(path))) > 1900


def test_damaged_number_does_not_end_the_salvage(tmp_path: Path) -> None:
    """A number of an entry that became enormous stands between the others."""
    path = tmp_path / "a.spool"
    write_segment(path, entries=60)
    content = path.read_bytes()
    # Number, then the header of the record: its size, a number that is null, a text of 10.
    at = content.index(b"\x1e\x06\x00\x21")
    path.write_bytes(content[:at] + b"\x7e" + content[at + 1 :])
    with pytest.raises(SegmentDamaged):
        check(path)
    assert set(range(60)) - set(saved(path)) <= {29}


def test_entries_of_a_long_used_file_are_salvaged(tmp_path: Path) -> None:
    """Their numbers are high, however small the file is."""
    segment = Segment(tmp_path / "a.spool")
    segment._connection.execute("INSERT INTO entry VALUES (10000000, 'prediction', x'3720', 1)")
    segment.append("prediction", [b"8 "])
    segment.abandon()
    assert saved(tmp_path / "a.spool") == [7, 8]


def write_segment(path: Path, entries: int) -> None:
    """Write a segment without companions, so that the file is all there is."""
    segment = Segment(path)
    segment.append("prediction", [b"%d " % n + b"x" * 200 for n in range(entries)])
    segment.close()
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA page_size").fetchone() == (PAGE,)
    database.close()


def damage_segment(path: Path, entries: int) -> None:
    """Write a segment and overwrite a page in its middle."""
    write_segment(path, entries)
    pages = path.stat().st_size // PAGE
    with path.open("r+b") as file:
        file.seek(pages // 2 * PAGE)
        file.write(b"\xff" * PAGE)
