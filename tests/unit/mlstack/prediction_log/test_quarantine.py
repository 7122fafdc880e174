"""What can never be stored is kept with its reason, listed, replayed and pruned."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlstack.prediction_log.entry import PREDICTION, Entry
from mlstack.prediction_log.quarantine import Quarantine, QuarantineError, Rejected
from mlstack.prediction_log.segment import Segment
from operations import quarantine as command


@pytest.fixture
def quarantine(tmp_path: Path) -> Quarantine:
    found = Quarantine(tmp_path / "quarantine")
    found.add([rejected(b"1", "too large"), rejected(b"2", "x" * 5000)], "api")
    return found


def rejected(body: bytes, reason: str) -> Rejected:
    return Rejected(Entry(1, PREDICTION, body, 1_800_000_000.0), reason)


def test_entry_is_kept_once(quarantine: Quarantine) -> None:
    """An entry that is added again is there once."""
    quarantine.add([rejected(b"1", "too large"), rejected(b"3", "too large")], "kinesis")
    found = {entry.body: entry for entry in quarantine.entries()}
    assert sorted(found) == [b"1", b"2", b"3"]
    assert quarantine.count() == 3
    assert (found[b"1"].source, found[b"1"].reason) == ("api", "too large")
    assert found[b"1"].written_at == 1_800_000_000
    assert len(found[b"2"].reason) == 500


def test_empty_quarantine_creates_nothing(tmp_path: Path) -> None:
    """Looking into an empty quarantine leaves no file."""
    empty = Quarantine(tmp_path / "quarantine")
    assert (empty.count(), empty.entries()) == (0, [])
    assert list(tmp_path.iterdir()) == []


def test_entries_are_replayed(quarantine: Quarantine, tmp_path: Path) -> None:
    """A replayed entry is in the spool as it was, and no longer in quarantine."""
    spool = tmp_path / "spool"
    spool.mkdir()
    (spool / "api-1.spool").write_bytes(b"damaged")
    quarantine.add_file(spool / "api-1.spool", "malformed")
    assert Segment.paths(spool) == []
    quarantine.replay(quarantine.entries(), spool)
    assert quarantine.count() == 0
    damaged, path = Segment.paths(spool)
    assert (damaged.name, damaged.read_bytes()) == ("api-1.spool", b"damaged")
    segment = Segment(path, existing=True)
    assert sorted((e.kind, e.body) for e in segment.read(9)) == [
        (PREDICTION, b"1"),
        (PREDICTION, b"2"),
    ]
    segment.close()


def test_old_entries_are_pruned(quarantine: Quarantine, tmp_path: Path) -> None:
    """What was found before the limit goes, with its file; the rest stays."""
    (tmp_path / "api-1.spool").write_bytes(b"damaged")
    quarantine.add_file(tmp_path / "api-1.spool", "malformed")
    now = datetime.now(UTC)
    assert quarantine.remove_before(now - timedelta(days=1)) == 0
    assert quarantine.remove_before(now + timedelta(days=1)) == 3
    assert quarantine.count() == 0
    assert quarantine.damaged_files() == []


def test_failed_folder_is_an_error(tmp_path: Path) -> None:
    """A quarantine that cannot be written says so."""
    (tmp_path / "quarantine").write_text("")
    with pytest.raises(QuarantineError, match="quarantine"):
        Quarantine(tmp_path / "quarantine").add([rejected(b"1", "")], "api")


def test_command_lists_and_replays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make quarantine` lists every entry with its reason; REPLAY puts one or all back."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["quarantine"])
    command.main()
    assert "is empty" in capsys.readouterr().out
    Quarantine(tmp_path / "quarantine").add([rejected(b"1", "too large")], "api")
    command.main()
    listed = capsys.readouterr().out
    assert "prediction of api: too large" in listed
    monkeypatch.setattr(sys, "argv", ["quarantine", "nobody"])
    with pytest.raises(QuarantineError, match="REPLAY=nobody"):
        command.main()
    monkeypatch.setattr(sys, "argv", ["quarantine", listed.split()[0]])
    command.main()
    assert "1 back in the spool" in capsys.readouterr().out
    assert len(Segment.paths(tmp_path / "spool")) == 1
