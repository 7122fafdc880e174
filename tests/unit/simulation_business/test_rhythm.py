"""The business is busier at some times than at others, and as busy as it was told on average."""

from datetime import UTC, datetime, timedelta
from statistics import mean, pstdev

from simulation_business.rhythm import Rhythm, day_curve

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = [MIDNIGHT + timedelta(minutes=minute) for minute in range(24 * 60)]


def test_day_has_the_rate_on_average() -> None:
    rhythm = Rhythm(60, seed=1)
    counts = [rhythm.draw(at, 60) for at in DAY for _ in range(5)]
    assert 57 < mean(counts) < 63
    assert abs(mean(map(day_curve, DAY)) - 1) < 1e-9


def test_some_minutes_are_busier_than_others() -> None:
    rhythm = Rhythm(60, seed=1)
    counts = [rhythm.draw(MIDNIGHT, 60) for _ in range(500)]
    assert pstdev(counts) > 0.3 * mean(counts)
    assert min(counts) >= 0


def test_day_is_busier_than_night() -> None:
    rhythm = Rhythm(60, seed=1)
    night, day = (
        mean(rhythm.draw(MIDNIGHT + timedelta(hours=hour), 60) for _ in range(500))
        for hour in (2, 14)
    )
    assert day > 3 * night


def test_same_seed_has_the_same_rhythm() -> None:
    first, again, other = ([Rhythm(60, s).draw(at, 60) for at in DAY[:3]] for s in (1, 1, 2))
    assert first == again != other


def test_batch_stands_for_its_seconds() -> None:
    rhythm = Rhythm(6000, seed=1)
    assert rhythm.average(30) == 3000
    assert mean(rhythm.draw(MIDNIGHT + timedelta(hours=8), 1) for _ in range(2000)) < 120
