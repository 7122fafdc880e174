"""Entries of a spool survive any kill, once each and in order."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mlstack.prediction_log.spool import Spool, SpoolError, SpoolOwnedError
from mlstack.settings import ROOT
from tests.support.waiting import wait_until


def bodies(spool: Spool) -> list[bytes]:
    return [entry.body for entry in spool.read(10_000)]


def test_entries_are_read_in_order_until_removed(tmp_path: Path) -> None:
    """Entries are read in order until they are removed."""
    spool = Spool(tmp_path / "a.spool")
    spool.append("prediction", [b"1", b"2"])
    spool.append("outcome", [b"3"])
    first = spool.read(2)
    assert [(e.kind, e.body) for e in first] == [("prediction", b"1"), ("prediction", b"2")]
    spool.remove(first)
    assert (bodies(spool), spool.pending) == ([b"3"], 1)
    spool.close()


def test_entries_outlive_their_process(tmp_path: Path) -> None:
    """Acknowledged entries survive a SIGKILL of their process."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from mlstack.prediction_log.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "for number in range(10**9):\n"
        "    spool.append('prediction', [str(number).encode()])\n"
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
    spool = Spool(path, adopted=True)
    kept = [int(entry.body) for entry in spool.read(10**6)]
    # One more may have been written than could be told.
    assert kept[: len(acknowledged)] == acknowledged
    assert len(kept) - len(acknowledged) <= 1
    spool.close()


def test_living_process_keeps_its_spool(tmp_path: Path) -> None:
    """The spool of a living process cannot be adopted."""
    spool = Spool(tmp_path / "a.spool")
    for adopted in (False, True):
        with pytest.raises(SpoolOwnedError):
            Spool(tmp_path / "a.spool", adopted=adopted)
    spool.close()


def test_closed_spool_with_entries_is_adopted(tmp_path: Path) -> None:
    """A closed spool with entries can be adopted."""
    spool = Spool.of_this_process(tmp_path, "api")
    spool.append("prediction", [b"1"])
    spool.close()
    (path,) = Spool.paths(tmp_path)
    adopted = Spool(path, adopted=True)
    assert bodies(adopted) == [b"1"]
    adopted.close()


def test_empty_spool_leaves_no_file(tmp_path: Path) -> None:
    """An empty spool is removed when it is closed."""
    spool = Spool.of_this_process(tmp_path, "api")
    spool.append("prediction", [b"1"])
    spool.remove(spool.read(1))
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_no_entry(tmp_path: Path) -> None:
    """A failed write keeps none of its entries, and the next write works."""
    spool = Spool(tmp_path / "a.spool")
    spool.append("prediction", [b"1"])
    spool._writer.execute("PRAGMA max_page_count = 3")
    with pytest.raises(SpoolError, match="full"):
        spool.append("prediction", [b"x" * 1000 for _ in range(100)])
    spool._writer.execute("PRAGMA max_page_count = 1000000")
    spool.append("prediction", [b"2"])
    assert (bodies(spool), spool.pending) == ([b"1", b"2"], 2)
    spool.close()


def test_write_ahead_log_does_not_grow(tmp_path: Path) -> None:
    """The write-ahead log does not grow with the entries that passed through."""
    spool = Spool(tmp_path / "a.spool")
    log = tmp_path / "a.spool-wal"
    for _ in range(300):
        spool.append("prediction", [b"x" * 1000] * 100)
        spool.remove(spool.read(100))
    wait_until(lambda: log.stat().st_size < 20 * 1024 * 1024, "the log is moved into the file")
    assert (tmp_path / "a.spool").stat().st_size < 4 * 1024 * 1024
    spool.close()


def test_age_of_the_oldest_entry_is_known(tmp_path: Path) -> None:
    """The time of the oldest entry is known; an empty spool has none."""
    spool = Spool(tmp_path / "a.spool")
    assert spool.oldest_at() is None
    spool.append("prediction", [b"1"])
    assert spool.oldest_at() == spool.read(1)[0].written_at
    spool.close()
