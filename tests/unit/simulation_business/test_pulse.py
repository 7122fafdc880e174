"""A simulator shows that it turns, waits with patience and stops when it is told to."""

import os
import threading
import time
from pathlib import Path

import pytest

from simulation_business import pulse as module
from simulation_business.pulse import STALE_SECONDS, Patience, Pulse, Unavailable, is_fresh


def test_heartbeat_is_fresh_while_it_waits_and_gone_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_SECONDS", 0.01)
    path = tmp_path / "state" / "heartbeat"
    pulse = Pulse(path)
    assert not is_fresh(path)
    pulse.beat()
    first = path.stat().st_mtime_ns
    assert pulse.wait(0.1) is False
    assert path.stat().st_mtime_ns > first
    assert is_fresh(path)
    pulse.end()
    assert not path.exists()


def test_old_heartbeat_is_not_fresh(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    path.touch()
    old = time.time() - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert not is_fresh(path)


def test_full_disk_does_not_end_the_simulator(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    Pulse(tmp_path / "file" / "heartbeat").beat()


def test_order_to_stop_ends_a_wait_at_once(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "heartbeat")
    begun = time.monotonic()
    timer = threading.Timer(0.05, pulse.order_stop)
    timer.start()
    assert pulse.wait(60) is True
    assert pulse.stopping
    assert time.monotonic() - begun < 5
    timer.join()


def test_trouble_is_said_once_and_its_end_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pulse, "wait", lambda *_: False)
    caplog.set_level("INFO")
    patience = Patience(Pulse(tmp_path / "heartbeat"), "asking", 60)
    for _ in range(5):
        assert patience.again("no answer")
    patience.succeeded()
    patience.succeeded()
    assert patience.again("no answer")
    assert [record.getMessage() for record in caplog.records] == [
        "asking: no answer; trying again",
        "asking: works again",
    ]


def test_patience_ends_when_it_is_to(tmp_path: Path) -> None:
    patience = Patience(Pulse(tmp_path / "heartbeat"), "asking", 0.05)
    patience.again("no answer")
    with pytest.raises(Unavailable, match=r"asking failed for 0\.05 s: no answer"):
        patience.again("no answer")
