"""A server's spool: kept at once, synced soon, closed for the keeper."""

import shutil
import threading
from functools import partial
from pathlib import Path

import pytest

from mlstack.prediction_log import spool as spool_module
from mlstack.prediction_log.segment import Segment, SpoolError
from mlstack.prediction_log.spool import Spool
from tests.support.waiting import wait_until


def closed(folder: Path) -> list[Path]:
    """Segments that a keeper can take."""
    found = []
    for path in Segment.paths(folder):
        try:
            Segment(path, existing=True).abandon()
        except SpoolError:
            continue
        found.append(path)
    return found


def taken(folder: Path) -> list[bytes]:
    """Take what a keeper can take."""
    bodies = list[bytes]()
    for path in closed(folder):
        segment = Segment(path, existing=True)
        entries = segment.read(10**6)
        bodies += [entry.body for entry in entries]
        segment.remove(entries)
        segment.close()
    return bodies


def has_closed(folder: Path, count: int) -> bool:
    return len(closed(folder)) >= count


def test_entries_are_closed_after_a_moment(tmp_path: Path) -> None:
    """The keeper can take entries soon after they were written."""
    spool = Spool(tmp_path, "api")
    spool.append("prediction", [b"1", b"2"])
    wait_until(lambda: closed(tmp_path), "the segment is closed")
    assert taken(tmp_path) == [b"1", b"2"]
    spool.append("prediction", [b"3"])
    wait_until(lambda: closed(tmp_path), "the next one is closed")
    assert taken(tmp_path) == [b"3"]
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_segments_grow_while_nobody_takes_them(tmp_path: Path) -> None:
    """An hour without a keeper leaves few large files, not thousands of small ones."""
    spool = Spool(tmp_path, "api")
    for number in range(30):
        spool.append("prediction", [b"%d" % number])
        threading.Event().wait(0.03)  # the time in which segments would be closed
    assert len(Segment.paths(tmp_path)) <= 2
    spool.close()
    assert taken(tmp_path) == [b"%d" % number for number in range(30)]


def test_large_segment_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment does not grow without end."""
    monkeypatch.setattr(spool_module, "_SEGMENT_BYTES", 100_000)
    spool = Spool(tmp_path, "api")
    for count in (1, 2, 3):
        spool.append("prediction", [b"x" * 1000] * 200)
        wait_until(partial(has_closed, tmp_path, count), "a segment is closed")
    spool.close()
    assert len(taken(tmp_path)) == 600


def test_every_thread_writes(tmp_path: Path) -> None:
    """Threads that write at once, while segments are closed and taken, lose nothing."""
    spool = Spool(tmp_path, "api")

    def write(number: int) -> None:
        for each in range(200):
            spool.append("prediction", [b"%d-%d" % (number, each)])

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    found = list[bytes]()
    while any(thread.is_alive() for thread in threads):
        found += taken(tmp_path)
    spool.close()
    found += taken(tmp_path)
    assert sorted(found) == sorted(b"%d-%d" % (n, each) for n in range(4) for each in range(200))


def test_full_disk_keeps_the_open_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A segment that cannot be followed by another stays open, and nothing is lost."""
    spool = Spool(tmp_path, "api")
    failed = threading.Event()

    def fail(*_: object) -> Segment:
        failed.set()
        raise SpoolError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "create", fail)
        spool.append("prediction", [b"1"])
        wait_until(failed.is_set, "another segment was tried")
        spool.append("prediction", [b"2"])
    wait_until(lambda: closed(tmp_path), "the segment is closed once there is space")
    assert taken(tmp_path) == [b"1", b"2"]
    spool.close()


def test_last_space_of_a_disk_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are refused before the disk is full, and taken again when there is space."""
    spool = Spool(tmp_path, "api")
    mib, usage = 1024**2, type(shutil.disk_usage(tmp_path))

    def append_fails() -> bool:
        try:
            spool.append("prediction", [b"1"])
        except SpoolError as error:
            return "has 255 MiB left" in str(error)
        return False

    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6 * mib, 0, 255 * mib))
    wait_until(append_fails, "entries are refused")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(8 * mib, 0, mib))
    wait_until(lambda: not append_fails(), "entries are taken: a twentieth of a small disk is left")
    spool.close()
