"""Outcomes are reported later, for a share of the predictions, as likely as predicted."""

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from mlstack.contract.target import BinaryTarget, Scored
from mlstack.data.marginals import Marginals
from mlstack.prediction_log.prediction import Outcome
from mlstack.waiting import RetryLater
from simulation_business import outcomes as module
from simulation_business.api_client import Refused
from simulation_business.model_errors import ModelErrors
from simulation_business.outcomes import Outcomes
from tests.support.target_kinds import contract_of

TARGET = BinaryTarget(name="left", positive="yes", negative="no", meaning="The customer left.")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def unknown(_: random.Random) -> float | None:
    """No model knows its errors."""
    return None


class Server:
    """Takes outcomes unless told otherwise."""

    def __init__(self) -> None:
        self.taken: list[Outcome] = []
        self.calls = 0
        self.there = True
        self.refuses = False

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        self.calls += 1
        if self.refuses:
            raise Refused("no")
        if self.there:
            self.taken += outcomes
        return self.there


def test_outcome_waits_for_its_time() -> None:
    """An outcome is reported after its delay, not before."""
    server, clock = Server(), Clock()
    outcomes = Outcomes(TARGET, server.report, unknown, share=1, delay=300, seed=1, clock=clock)
    outcomes.note("first", Scored(0.5))
    clock.now = 100
    outcomes.note("second", Scored(0.5))
    outcomes.report_due()
    assert (server.calls, outcomes.waiting) == (0, 2)
    clock.now = 300
    outcomes.report_due()
    assert [outcome.prediction_id for outcome in server.taken] == ["first"]
    assert (outcomes.take_reported(), outcomes.take_reported(), outcomes.waiting) == (1, 0, 1)


def test_outcomes_calibrate_the_model() -> None:
    """A share of the predictions has an outcome; it is positive as often as predicted."""
    server, chance = Server(), random.Random(1)
    chances = {str(i): chance.random() for i in range(20_000)}
    outcomes = Outcomes(TARGET, server.report, unknown, share=0.5, delay=0, seed=2)
    for prediction_id, value in chances.items():
        outcomes.note(prediction_id, Scored(value))
    assert outcomes.report_all()
    assert 9_700 < len(server.taken) < 10_300
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        group = [o for o in server.taken if low <= chances[o.prediction_id] < low + 0.2]
        left = sum(int(outcome.value) for outcome in group) / len(group)
        assert abs(left - (low + 0.1)) < 0.03


def test_outcomes_wait_for_the_server() -> None:
    """While the server is away outcomes wait, and are then reported in order."""
    server, clock = Server(), Clock()
    outcomes = Outcomes(TARGET, server.report, unknown, share=1, delay=0, seed=1, clock=clock)
    for number in range(1200):
        outcomes.note(str(number), Scored(0.5))
    server.there = False
    outcomes.report_due()
    outcomes.report_due()
    assert (server.calls, outcomes.waiting) == (1, 1200)
    server.there, clock.now = True, 60
    outcomes.report_due()
    assert [outcome.prediction_id for outcome in server.taken] == [str(n) for n in range(1200)]
    assert outcomes.waiting == 0


def test_refused_outcomes_stop_nothing() -> None:
    """Outcomes that the server refuses are dropped."""
    server = Server()
    outcomes = Outcomes(TARGET, server.report, unknown, share=1, delay=0, seed=1)
    outcomes.note("refused", Scored(0.5))
    server.refuses = True
    outcomes.report_due()
    server.refuses = False
    outcomes.note("taken", Scored(0.5))
    outcomes.report_due()
    assert [outcome.prediction_id for outcome in server.taken] == ["taken"]
    assert outcomes.take_reported() == 1


def test_waiting_outcomes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit the oldest outcomes are dropped."""
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    server = Server()
    outcomes = Outcomes(TARGET, server.report, unknown, share=1, delay=0, seed=1)
    for number in range(5):
        outcomes.note(str(number), Scored(0.5))
    outcomes.report_due()
    assert [outcome.prediction_id for outcome in server.taken] == ["2", "3", "4"]


def test_outcomes_of_classes_are_as_likely_as_predicted() -> None:
    """A customer is of each class with its probability."""
    target, server = contract_of("multiclass").target, Server()
    outcomes = Outcomes(target, server.report, unknown, share=1, delay=0, seed=1)
    for number in range(5000):
        outcomes.note(str(number), Scored("delivered", (0.5, 0.3, 0.2)))
    assert outcomes.report_all()
    counts = Counter(outcome.value for outcome in server.taken)
    shares = [counts[label] / 5000 for label in ("delivered", "returned", "lost")]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.03)


def test_outcomes_of_numbers_are_near_the_prediction() -> None:
    """They stay in the contract's range, outside which the server would refuse them."""
    target, server = contract_of("regression").target, Server()
    outcomes = Outcomes(target, server.report, unknown, share=1, delay=0, seed=1)
    for number in range(2000):
        outcomes.note(str(number), Scored(float(number % 2 * 250)))
    assert outcomes.report_all()
    values = [float(outcome.value) for outcome in server.taken]
    assert min(values) == 0
    assert sum(values[1::2]) / 1000 == pytest.approx(250, abs=1)


def test_outcomes_of_numbers_err_as_the_model_does() -> None:
    """As far as on its test rows, and still in the contract's range."""
    target, server = contract_of("regression").target, Server()
    errors = Marginals(contract="", features={}).with_errors(
        np.random.default_rng(1).normal(3, 20, 5000)
    )
    outcomes = Outcomes(target, server.report, errors.draw_error, share=1, delay=0, seed=1)
    for number in range(5000):
        outcomes.note(str(number), Scored(250.0))
    assert outcomes.report_all()
    values = np.array([outcome.value for outcome in server.taken], np.float64)
    assert values.mean() - 250 == pytest.approx(3, abs=1)
    assert values.std() == pytest.approx(20, rel=0.05)


def test_model_errors_are_asked_once_a_minute() -> None:
    """A model without them, or a server that is away, leaves what is known."""
    clock, asked, chance = Clock(), list[int](), random.Random(1)
    known = Marginals(contract="", features={}, errors=(5.0, 5.0))
    answers: list[Marginals | Exception | None] = [None, known, RetryLater("away"), Refused("no")]

    def ask() -> Marginals | None:
        asked.append(1)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    errors = ModelErrors(ask, clock)
    drawn = []
    for clock.now in (0, 59, 60, 120, 180):
        drawn.append(errors.draw(chance))
    assert drawn == [None, None, 5, 5, 5]
    assert len(asked) == 4
