"""A heartbeat file is fresh while its loop turns, stale when it is stuck, gone at the end."""

import os
import time
from pathlib import Path

import pytest

from mlstack.heartbeat import (
    Heartbeat,
    OwnPlace,
    aws_keeper,
    check_any_host,
    log_keeper,
    stream_server,
)
from mlstack.settings import Settings


def test_heartbeat_is_fresh_until_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats renew the file; the end removes it."""
    monkeypatch.setattr("mlstack.heartbeat._WRITE_SECONDS", 0.0)
    heartbeat = Heartbeat(tmp_path / "state" / "heartbeat", 90)
    assert heartbeat.check().detail == "no heartbeat yet"
    heartbeat.beat()
    first = heartbeat.path.stat().st_mtime_ns
    heartbeat.beat()
    assert heartbeat.path.stat().st_mtime_ns > first
    assert heartbeat.check().ready
    heartbeat.remove()
    assert not heartbeat.path.exists()


def test_old_heartbeat_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not renewed means that the loop is stuck."""
    heartbeat = Heartbeat(tmp_path / "heartbeat", 90)
    heartbeat.beat()
    later = time.monotonic() + 91
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert heartbeat.check().detail == "no heartbeat for 91 s"
    assert not heartbeat.check().ready


@pytest.mark.parametrize("step", [-3600, 3600])
def test_heartbeat_does_not_depend_on_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """When the clock is set, a fresh heartbeat stays fresh and a stale one stale."""
    heartbeat = Heartbeat(tmp_path / "heartbeat", 90)
    heartbeat.beat()
    stepped, later = time.time() + step, time.monotonic() + 91
    monkeypatch.setattr(time, "time", lambda: stepped)
    assert heartbeat.check().ready
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert not heartbeat.check().ready


@pytest.mark.parametrize("content", ["1764170000\n", "", "another-start/1.0\n"])
def test_heartbeat_of_release_before_is_read(tmp_path: Path, content: str) -> None:
    """Without a stamp of this start of the machine, the file's time counts."""
    heartbeat = Heartbeat(tmp_path / "heartbeat", 90)
    heartbeat.path.write_text(content)
    assert heartbeat.check().ready
    old = time.time() - 91
    os.utime(heartbeat.path, (old, old))
    assert heartbeat.check().detail == "no heartbeat for 91 s"


def test_heartbeat_survives_full_disk(tmp_path: Path) -> None:
    """A file that cannot be written does not end the service."""
    (tmp_path / "file").touch()
    Heartbeat(tmp_path / "file" / "heartbeat", 90).beat()


@pytest.mark.parametrize("port", ["", "9797"])
def test_health_check_looks_where_services_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str
) -> None:
    """It reads the same variables as the settings, with the same default."""
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    monkeypatch.setenv("STREAM_METRICS_PORT", port)
    for heartbeat in (aws_keeper, log_keeper, stream_server):
        assert heartbeat(OwnPlace.read()).path == heartbeat(Settings.load()).path


def test_heartbeat_of_another_host_counts(tmp_path: Path) -> None:
    """In containers every service has a host name of its own; dead ones leave files behind."""
    settings = Settings(state_dir=tmp_path)
    assert check_any_host("stream_server", settings).detail == "no heartbeat yet"
    folder = tmp_path / "stream"
    dead = Heartbeat(folder / "heartbeat-dead-9697", 60)
    dead.beat()
    dead.path.write_text("")
    os.utime(dead.path, (0, 0))
    assert "no heartbeat for" in check_any_host("stream_server", settings).detail
    Heartbeat(folder / "heartbeat-living-9797", 60).beat()
    assert check_any_host("stream_server", settings).ready
    log_keeper(settings).beat()
    assert check_any_host("log_keeper", settings).ready
