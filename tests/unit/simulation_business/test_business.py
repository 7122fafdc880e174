"""The business is busier at some times than at others, and has the given rate on average."""

from datetime import UTC, datetime, timedelta
from statistics import mean, pstdev

from simulation_business.business import Rhythm, day_curve

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
DAY = [MIDNIGHT + timedelta(minutes=minute) for minute in range(24 * 60)]


def test_day_has_the_rate_on_average() -> None:
    """Over a day as many customers come as the rate says."""
    rhythm = Rhythm(60, seed=1)
    counts = [rhythm.draw(at, 60) for at in DAY for _ in range(5)]
    assert 57 < mean(counts) < 63
    assert abs(mean(map(day_curve, DAY)) - 1) < 1e-9


def test_minutes_differ() -> None:
    """Minutes differ by more than chance."""
    rhythm = Rhythm(60, seed=1)
    counts = [rhythm.draw(MIDNIGHT, 60) for _ in range(500)]
    assert pstdev(counts) > 0.3 * mean(counts)
    assert min(counts) >= 0


def test_day_is_busier_than_night() -> None:
    """Most customers come by day."""
    rhythm = Rhythm(60, seed=1)
    night, day = (
        mean(rhythm.draw(MIDNIGHT + timedelta(hours=hour), 60) for _ in range(500))
        for hour in (2, 14)
    )
    assert day > 3 * night


def test_same_seed_repeats_the_rhythm() -> None:
    """The seed decides what is drawn."""
    first, again, other = ([Rhythm(60, s).draw(at, 60) for at in DAY[:3]] for s in (1, 1, 2))
    assert first == again != other


def test_batch_covers_its_seconds() -> None:
    """A batch that covers less time has fewer customers."""
    rhythm = Rhythm(6000, seed=1)
    assert rhythm.average(30) == 3000
    assert mean(rhythm.draw(MIDNIGHT + timedelta(hours=8), 1) for _ in range(2000)) < 120
