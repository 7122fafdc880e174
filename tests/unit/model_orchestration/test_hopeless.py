import pytest

from model_orchestration.hopeless import is_hopeless

ROUNDS = 1000


def _losses(count: int, *, floor: float, gain: float, power: float = 0.5) -> list[float]:
    """A learning curve that falls by a power of the number of trees."""
    return [floor + gain * (1 + n) ** -power for n in range(count)]


def test_trial_far_behind_is_hopeless() -> None:
    """What it still gains cannot make up for the difference."""
    assert is_hopeless(_losses(200, floor=0.40, gain=0.1), ROUNDS, rival=0.30)


@pytest.mark.parametrize("count", [16, 50, 200, 999])
def test_trial_that_ends_better_is_never_hopeless(count: int) -> None:
    """However bad its losses look at first."""
    losses = _losses(count, floor=0.30, gain=0.5)
    end = _losses(ROUNDS, floor=0.30, gain=0.5)[-1]
    assert not is_hopeless(losses, ROUNDS, rival=end + 1e-6)


def test_no_trial_is_hopeless_without_a_rival() -> None:
    assert not is_hopeless(_losses(500, floor=0.4, gain=0.1), ROUNDS, float("inf"))


def test_first_rounds_decide_nothing() -> None:
    assert not is_hopeless([0.5] * 15, ROUNDS, rival=0.1)
    assert is_hopeless([0.5] * 16, ROUNDS, rival=0.1)


def test_rise_of_the_loss_is_no_gain() -> None:
    """An overfitted trial is judged by its best round."""
    losses = [0.4 - 0.001 * min(n, 100) + 0.001 * max(n - 100, 0) for n in range(300)]
    assert is_hopeless(losses, ROUNDS, rival=0.25)
    assert not is_hopeless(losses, ROUNDS, rival=0.31)
