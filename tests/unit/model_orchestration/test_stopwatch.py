import time

from model_orchestration.stopwatch import Stopwatch


def test_stopwatch_adds_up_the_parts() -> None:
    """Parts are listed in the order of their begin, after their sum."""
    times = Stopwatch()
    for part in ("load", "train", "load"):
        with times.time(part):
            time.sleep(0.05)
    assert str(times) == "0.2 s: load 0.1, train 0.1"
