import time

import pytest

from model_orchestration.stopwatch import Stopwatch


def test_stopwatch_adds_up_the_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts are listed in the order of their begin, after their sum."""
    clock = iter((0, 0.05, 0.05, 0.15, 0.15, 0.2))
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    times = Stopwatch()
    for part in ("load", "train", "load"):
        with times.time(part):
            pass
    assert str(times) == "0.2 s: load 0.1, train 0.1"
