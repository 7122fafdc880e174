"""Search for the best model with TPE over XGBoost's parameters."""

from collections import deque
from collections.abc import Callable

import numpy as np
from hyperopt import hp
from hyperopt.pyll import scope

from mlstack.contract.target import Target
from mlstack.errors import MlstackError
from mlstack.settings import DEFAULT_TRAIN_ENGINE, DEFAULT_TRAIN_LAG
from model_orchestration.engine import OpenEngine, PendingTrial
from model_orchestration.engine_choice import choose_engine
from model_orchestration.proposals import Proposals, Space
from model_orchestration.stopwatch import Stopwatch
from model_orchestration.trials import Rows, Trial

# Chosen by nested 5-fold runs on both contracts (benchmarks/training_quality.py). A low eta suits
# both. A weak signal needs large leaves and a strong lambda. A strong signal needs leaves of nearly
# certain rows, each of which adds far less than 1 to `min_child_weight`.
SPACE: Space = {
    "max_depth": scope.int(hp.quniform("max_depth", 3, 8, 1)),
    "eta": hp.loguniform("eta", np.log(0.03), np.log(0.12)),
    "min_child_weight": hp.loguniform("min_child_weight", np.log(0.1), np.log(10)),
    "subsample": hp.uniform("subsample", 0.6, 1.0),
    "colsample_bytree": hp.uniform("colsample_bytree", 0.4, 1.0),
    "lambda": hp.loguniform("lambda", np.log(0.1), np.log(30)),
    "gamma": hp.loguniform("gamma", np.log(0.001), np.log(1)),
}

OnTrial = Callable[[Trial, Trial | None], None]
"""Called after each trial with it and the best so far (None if all have failed)."""


class SearchError(MlstackError):
    """Every trial of a search failed."""


def search(
    train: Rows,
    validation: Rows,
    target: Target,
    *,
    trials: int,
    seed: int,
    lag: int = DEFAULT_TRAIN_LAG,
    on_trial: OnTrial | None = None,
    space: Space = SPACE,
    open_engine: OpenEngine | None = None,
    times: Stopwatch | None = None,
) -> Trial:
    """Search for the model with the lowest validation loss; return the best trial.

    Trial i is proposed, and stopped if it is hopeless, by the results of trials up to i - `lag`. So
    the same rows, number of trials, seed, lag and library versions give the same models, whatever
    engine trains them. Validation rows also stop a trial's training early. `on_trial` gets the
    trials in their order; an exception in it ends the search. Without `open_engine` they train in
    this process, with the cores that it may use. Raises SearchError if every trial failed.
    """
    times = times or Stopwatch()
    if open_engine is None:
        open_engine, _ = choose_engine(DEFAULT_TRAIN_ENGINE, train.matrix.size, lag)
    with times.time("bin"):
        engine = open_engine(train, validation, target)
    proposals = Proposals(space, seed)
    running: deque[PendingTrial] = deque()
    best: Trial | None = None
    trial: Trial

    def finish_oldest() -> None:
        nonlocal best, trial
        with times.time("train"):
            trial = running.popleft().result()
        proposals.tell(trial.number, trial.loss)
        if trial.failure is None and (best is None or trial.loss < best.loss):
            best = trial
        if on_trial is not None:
            with times.time("wait for uploads"):
                on_trial(trial, best)

    try:
        for number in range(1, trials + 1):
            if len(running) == lag:
                finish_oldest()
            with times.time("propose"):
                drawn = {**proposals.ask(), "seed": seed}
            rival = np.inf if best is None else best.loss
            running.append(engine.start(number, trials, drawn, rival))
        while running:
            finish_oldest()
    finally:
        engine.close()
    if best is None:
        raise SearchError(f"all {trials} trials failed, the last one: {trial.failure}")
    return best
