from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hyperopt import hp

from mlstack.contract.target import BinaryTarget
from model_orchestration.metrics import evaluate
from model_orchestration.search import SPACE, Rows, SearchError, Trial, search
from tests.support.target_kinds import contract_of, trained

TRIALS = 6
TARGET = BinaryTarget(name="left", positive="yes", negative="no", meaning="The customer left.")


def _rows(count: int, seed: int) -> Rows:
    """Outcomes that a tree can learn in part."""
    chance = np.random.default_rng(seed)
    matrix = chance.random((count, 4), dtype=np.float32)
    outcomes = (matrix[:, 0] + 0.5 * chance.random(count) > 1).astype(np.int64)
    return Rows(matrix, outcomes)


TRAIN, VALIDATION = _rows(400, seed=1), _rows(200, seed=2)


def _search(
    trials: int = TRIALS, seed: int = 1, space: Mapping[str, Any] = SPACE
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
    )
    return best, seen


def test_same_seed_gives_the_same_models() -> None:
    first, second = _search()[1], _search()[1]
    assert [t.params for t, _ in first] == [t.params for t, _ in second]
    models = [[_model(t).save_raw("ubj") for t, _ in seen] for seen in (first, second)]
    assert models[0] == models[1]


def test_another_seed_gives_other_trials() -> None:
    assert _search(seed=1)[1][0][0].params != _search(seed=2)[1][0][0].params


def test_best_trial_has_the_lowest_validation_rmse() -> None:
    best, seen = _search()
    assert best.loss == min(trial.metrics["rmse"] for trial, _ in seen)


def test_every_trial_is_reported_once_with_best_so_far() -> None:
    _, seen = _search()
    assert [(t.number, t.of) for t, _ in seen] == [(n, TRIALS) for n in range(1, TRIALS + 1)]
    losses = [trial.loss for trial, _ in seen]
    assert [b.loss for _, b in seen if b] == np.minimum.accumulate(losses).tolist()


def test_metrics_are_those_of_the_reported_model() -> None:
    """The model is cut to its best round: what was measured is what is kept."""
    for trial, _ in _search()[1]:
        scores = _model(trial).inplace_predict(VALIDATION.matrix)
        assert trial.metrics == {
            **evaluate(TARGET, VALIDATION.outcomes, scores),
            "trees": _model(trial).num_boosted_rounds(),
        }


def test_trial_is_reproducible_from_its_parameters() -> None:
    space = {name: hp.choice(name, [value]) for name, value in _drawn(_search()[0]).items()}
    again, _ = _search(trials=1, space=space)
    assert _model(again).save_raw("ubj") == _model(_search()[0]).save_raw("ubj")


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
