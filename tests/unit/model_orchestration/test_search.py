import time
from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import hyperopt
import numpy as np
import pytest
from hyperopt import hp

from mlstack.settings import DEFAULT_TRAIN_LAG
from model_orchestration import hopeless, thread_engine
from model_orchestration import trainer as training
from model_orchestration.core_share import CoreShare
from model_orchestration.metrics import evaluate
from model_orchestration.proposals import Proposals
from model_orchestration.search import SPACE, SearchError, search
from model_orchestration.thread_engine import ThreadEngine
from model_orchestration.trainer import Trainer
from model_orchestration.trials import Rows, Trial
from tests.support.search_rows import TARGET, TRAIN, VALIDATION
from tests.support.target_kinds import contract_of, trained

TRIALS = 6


def _search(
    trials: int = TRIALS,
    seed: int = 1,
    space: Mapping[str, Any] = SPACE,
    share: CoreShare | None = None,
    lag: int = DEFAULT_TRAIN_LAG,
) -> tuple[Trial, list[tuple[Trial, Trial | None]]]:
    seen: list[tuple[Trial, Trial | None]] = []
    best = search(
        TRAIN,
        VALIDATION,
        TARGET,
        trials=trials,
        seed=seed,
        on_trial=lambda trial, best: seen.append((trial, best)),
        space=space,
        open_engine=share and partial(ThreadEngine, share=share),
        lag=lag,
    )
    return best, seen


def _learnt(trial: Trial) -> tuple[dict[str, Any], bytes]:
    return _drawn(trial), bytes(_model(trial).save_raw("ubj"))


@cache
def _searched() -> tuple[Trial, list[tuple[Trial, Trial | None]]]:
    """Search with one trial after the other, and one thread."""
    return _search(share=CoreShare(1, 1, 1))


@pytest.mark.parametrize("share", [CoreShare(3, 1, 3), CoreShare(2, 4, 4)])
def test_same_seed_gives_the_same_models(share: CoreShare) -> None:
    """Neither trials side by side nor threads within a trial change them."""
    _, again = _search(share=share)
    assert [_learnt(t) for t, _ in again] == [_learnt(t) for t, _ in _searched()[1]]


def test_another_seed_gives_other_trials() -> None:
    assert _searched()[1][0][0].params != _search(seed=2, trials=1)[1][0][0].params


def test_best_trial_has_the_lowest_validation_rmse() -> None:
    best, seen = _searched()
    assert best.loss == min(trial.metrics["rmse"] for trial, _ in seen)


def test_every_trial_is_reported_once_with_best_so_far() -> None:
    _, seen = _searched()
    assert [(t.number, t.of) for t, _ in seen] == [(n, TRIALS) for n in range(1, TRIALS + 1)]
    losses = [trial.loss for trial, _ in seen]
    assert [b.loss for _, b in seen if b] == np.minimum.accumulate(losses).tolist()


def test_metrics_are_those_of_the_reported_model() -> None:
    """The model is cut to its best round: what was measured is what is kept."""
    for trial, _ in _searched()[1]:
        scores = _model(trial).inplace_predict(VALIDATION.matrix)
        assert trial.metrics == {
            **evaluate(TARGET, VALIDATION.outcomes, scores),
            "trees": _model(trial).num_boosted_rounds(),
        }


def test_trial_is_reproducible_from_its_parameters() -> None:
    space = {name: hp.choice(name, [value]) for name, value in _drawn(_searched()[0]).items()}
    again, _ = _search(trials=1, space=space)
    assert _model(again).save_raw("ubj") == _model(_searched()[0]).save_raw("ubj")


def test_model_stores_its_column_names() -> None:
    """MLflow's own tools then refuse a table whose columns are others, or in another order."""
    columns = ("a", "b", "c", "d")
    train, validation = TRAIN._replace(columns=columns), VALIDATION._replace(columns=columns)
    assert _model(search(train, validation, TARGET, trials=1, seed=1)).feature_names == list(
        columns
    )


def test_search_goes_on_after_a_failed_trial() -> None:
    """The failed trial is reported with its reason."""
    best, seen = _search(trials=10, space={"max_depth": hp.choice("max_depth", [2, -1])})
    failed = [trial for trial, _ in seen if trial.failure is not None]
    assert 0 < len(failed) < len(seen) == 10
    for trial in failed:
        assert "max_depth" in str(trial.failure)
        assert trial.booster is None
        assert trial.params["max_depth"] == -1
    assert best.params["max_depth"] == 2


def test_search_fails_with_the_last_reason_if_all_trials_fail() -> None:
    with pytest.raises(SearchError, match=r"(?s)all 3 trials failed.*max_depth"):
        _search(trials=3, space={"max_depth": hp.choice("max_depth", [-1, -2])})


def test_exception_of_the_callback_ends_the_search() -> None:
    calls: list[int] = []

    def stop(trial: Trial, _: Trial | None) -> None:
        calls.append(trial.number)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        search(TRAIN, VALIDATION, TARGET, trials=5, seed=1, on_trial=stop)
    assert calls == [1]


RIVALS: dict[int, float] = {}


class _TrainerDouble:
    """Takes a random time for a trial, whose loss is its eta."""

    def __init__(self, *_: object) -> None:
        self._delays = np.random.default_rng()

    def run_trial(
        self, number: int, of: int, drawn: dict[str, Any], rival: float, *_: object, **__: object
    ) -> Trial:
        RIVALS[number] = rival
        time.sleep(self._delays.random() / 100)
        return Trial(number, of, drawn, 0.0, None, {}, None, drawn["eta"])


@pytest.mark.parametrize("workers", [1, 3])
def test_trials_use_results_up_to_the_lag_alone(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proposals beyond TPE's random start and rivals are the same, however long trials take."""
    monkeypatch.setattr(thread_engine, "Trainer", _TrainerDouble)
    RIVALS.clear()
    lag, count = 3, 30
    _, seen = _search(trials=count, share=CoreShare(workers, 1, workers), lag=lag)
    etas = [trial.params["eta"] for trial, _ in seen]
    proposals = Proposals(SPACE, seed=1)
    for number in range(1, count + 1):
        known = etas[: max(0, number - lag)]
        if known:
            proposals.tell(len(known), known[-1])
        assert proposals.ask()["eta"] == etas[number - 1]
        assert RIVALS[number] == min(known, default=np.inf)


def test_proposals_without_a_lag_equal_fmin() -> None:
    """With a lag of 1 the search is hyperopt's own."""
    space = {"x": hp.uniform("x", -1, 1), "depth": hp.choice("depth", [2, 5])}
    expected: list[dict[str, Any]] = []

    def loss(drawn: dict[str, Any]) -> float:
        return float((drawn["x"] - 0.3) ** 2 + drawn["depth"])

    def objective(drawn: dict[str, Any]) -> float:
        expected.append(drawn)
        return loss(drawn)

    hyperopt.fmin(
        objective,
        space,
        algo=hyperopt.tpe.suggest,
        max_evals=25,
        rstate=np.random.default_rng(7),
        show_progressbar=False,
        verbose=False,
    )
    proposals = Proposals(space, seed=7)
    for number, drawn in enumerate(expected, start=1):
        assert proposals.ask() == drawn
        proposals.tell(number, loss(drawn))


def test_hopeless_trial_reports_its_best_loss_so_far() -> None:
    """Its model and metrics are those of its best round."""
    drawn = {"eta": 0.03, "max_depth": 2, "seed": 1}
    trainer = Trainer(TRAIN, VALIDATION, TARGET, threads=1)
    whole = trainer.run_trial(1, 2, drawn, rival=np.inf)
    stopped = trainer.run_trial(2, 2, drawn, rival=whole.loss / 2)
    assert stopped.stopped
    assert not whole.stopped
    trees = int(stopped.metrics["trees"])
    assert trees < whole.metrics["trees"]
    scores = _model(stopped).inplace_predict(VALIDATION.matrix)
    assert stopped.loss == evaluate(TARGET, VALIDATION.outcomes, scores)["rmse"]
    assert _model(stopped).save_raw("ubj") == _model(whole)[:trees].save_raw("ubj")


def test_exception_of_the_callback_ends_trials_that_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would take minutes on a large table."""
    monkeypatch.setattr(training, "_MAX_ROUNDS", 1_000_000)
    monkeypatch.setattr(training, "_PATIENCE_ROUNDS", 1_000_000)
    monkeypatch.setattr(hopeless, "is_hopeless", lambda losses, *_: len(losses) == 20)

    def stop(*_: object) -> None:
        monkeypatch.setattr(hopeless, "is_hopeless", lambda *_: False)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        search(
            *(TRAIN, VALIDATION, TARGET),
            trials=5,
            seed=1,
            on_trial=stop,
            open_engine=partial(ThreadEngine, share=CoreShare(2, 1, 2)),
        )


def _model(trial: Trial) -> Any:
    assert trial.booster is not None
    return trial.booster


def _drawn(trial: Trial) -> dict[str, Any]:
    return {name: trial.params[name] for name in SPACE}


@pytest.mark.parametrize("unit", [1e-9, 1e8])
def test_numbers_are_learnt_alike_in_any_unit(unit: float) -> None:
    """Parameters that are right for one unit are right for all."""
    target = contract_of("regression").target

    def rows(seed: int, scale: float) -> Rows:
        random = np.random.default_rng(seed)
        matrix = random.random((400, 3), dtype=np.float32)
        return Rows(matrix, (10 * matrix[:, 0] + random.normal(size=400)) * scale)

    one, other = (
        search(rows(1, scale), rows(2, scale), target, trials=2, seed=1).loss / scale
        for scale in (1, unit)
    )
    assert other == pytest.approx(one, rel=0.01)
    assert one < 1.2


def test_classes_are_searched_by_logloss() -> None:
    """The model gives the probability of each class."""
    found = trained("multiclass")
    assert found.best.loss == found.best.metrics["logloss"]
    assert set(found.best.metrics) == {"logloss", "accuracy", "auc", "trees"}
    assert found.best.params["num_class"] == 3
