"""Search for the best model with TPE over XGBoost's parameters."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import hyperopt
import numpy as np
import pandas as pd
import xgboost
from hyperopt import hp
from hyperopt.pyll import scope
from numpy.typing import NDArray

from mlstack.contract import Contract
from mlstack.contract.target import RegressionTarget, Target
from mlstack.errors import MlstackError
from mlstack.model.encoder import Encoder, Matrix
from mlstack.model.target_columns import labels
from mlstack.model.targets import objective
from model_orchestration.metrics import evaluate, loss_name

Space = Mapping[str, Any]

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
_FIXED = {
    "tree_method": "hist",
    "nthread": 1,  # trees over a few thousand rows do not benefit from threads
}
_PER_ROW = ("lambda", "min_child_weight")
"""Parameters that are compared with sums of the rows' weights."""
_MAX_ROUNDS = 1000
_PATIENCE_ROUNDS = 30


class SearchError(MlstackError):
    """Every trial of a search failed."""


class Rows(NamedTuple):
    """Encoded rows: matrix of shape (n_rows, n_columns), outcomes of shape (n_rows,).

    Outcomes are as `targets.labels` returns them.
    """

    matrix: Matrix
    outcomes: NDArray[Any]
    columns: tuple[str, ...] | None = None
    """Column names of the matrix, which a model stores."""

    @classmethod
    def encode(cls, rows: pd.DataFrame, contract: Contract) -> "Rows":
        """Encode clean rows with their target."""
        encoder = Encoder(contract)
        outcomes = labels(contract.target, rows[contract.target.name])
        return cls(encoder.encode_frame(rows), outcomes, encoder.columns)


@dataclass(frozen=True, slots=True)
class Trial:
    """One of `of` trials, counted from 1; a failed one has no model and no metrics."""

    number: int
    of: int
    params: Mapping[str, Any]
    """Training parameters, which reproduce the model."""
    seconds: float
    """Duration of training and scoring."""
    booster: xgboost.Booster | None
    """The model, truncated to its best round."""
    metrics: Mapping[str, float]
    """Metrics on the validation rows."""
    failure: str | None

    loss: float
    """The metric on the validation rows that the search minimises; infinite if it failed."""


OnTrial = Callable[[Trial, Trial | None], None]
"""Called after each trial with it and the best so far (None if all have failed)."""


def search(
    train: Rows,
    validation: Rows,
    target: Target,
    *,
    trials: int,
    seed: int,
    on_trial: OnTrial | None = None,
    space: Space = SPACE,
) -> Trial:
    """Search for the model with the lowest validation loss; return the best trial.

    Validation rows also stop a trial's training early. The same rows, number of trials, seed and
    library versions give the same models. An exception in `on_trial` ends the search. Raises
    SearchError if every trial failed.
    """
    trainer = _Trainer(train, validation, target)
    number = 0
    best: Trial | None = None
    failure: str | None = None

    def objective(drawn: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal number, best, failure
        number += 1
        trial = trainer.run_trial(number, trials, {**drawn, "seed": seed})
        failure = trial.failure
        if failure is None and (best is None or trial.loss < best.loss):
            best = trial
        if on_trial is not None:
            on_trial(trial, best)
        if failure is not None:
            return {"status": hyperopt.STATUS_FAIL}
        return {"status": hyperopt.STATUS_OK, "loss": trial.loss}

    try:
        hyperopt.fmin(
            objective,
            dict(space),
            algo=hyperopt.tpe.suggest,
            max_evals=trials,
            rstate=np.random.default_rng(seed),
            show_progressbar=False,
            verbose=False,
        )
    except hyperopt.exceptions.AllTrialsFailed as error:
        raise SearchError(f"all {trials} trials failed, the last one: {failure}") from error
    assert best is not None  # noqa: S101 - hyperopt raises when there is none
    return best


class _Trainer:
    """Trains models on rows that are binned once; binning costs more than training."""

    def __init__(self, train: Rows, validation: Rows, target: Target) -> None:
        self._validation_rows, self._target = validation, target
        self._fixed = {**_FIXED, **objective(target)}
        # The parameters are made for errors around 1, and XGBoost makes no split that gains less
        # than 1e-6. Weighted so, numbers of any unit are learnt as if their variance were 1.
        self._weight = 1.0
        if isinstance(target, RegressionTarget):
            self._weight = 1 / float(np.var(train.outcomes))
        self._train = self._matrix(train)
        self._validation = self._matrix(validation, ref=self._train)

    def _matrix(
        self, rows: Rows, ref: xgboost.QuantileDMatrix | None = None
    ) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(
            rows.matrix,
            rows.outcomes,
            weight=None if self._weight == 1 else np.full(len(rows.outcomes), self._weight),
            feature_names=rows.columns,
            ref=ref,
            nthread=1,
        )

    def run_trial(self, number: int, of: int, drawn: dict[str, Any]) -> Trial:
        start = time.perf_counter()
        params = {**self._fixed, **drawn}
        if self._weight != 1:
            params |= {name: self._weight * params[name] for name in _PER_ROW if name in params}
        booster, metrics, failure, loss = None, dict[str, float](), None, np.inf
        try:
            booster = self._train_model(params)
            rows = self._validation_rows
            metrics = evaluate(self._target, rows.outcomes, booster.inplace_predict(rows.matrix))
            loss = metrics[loss_name(self._target)]
            metrics["trees"] = booster.num_boosted_rounds()
        except Exception as error:  # noqa: BLE001 - the next trial may succeed
            booster, failure = None, f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        # It is logged, because a model is reproduced by its parameters.
        params |= {} if self._weight == 1 else {"row_weight": self._weight}
        return Trial(number, of, params, seconds, booster, metrics, failure, loss)

    def _train_model(self, params: dict[str, Any]) -> xgboost.Booster:
        booster = xgboost.train(
            params,
            self._train,
            num_boost_round=_MAX_ROUNDS,
            evals=[(self._validation, "validation")],
            early_stopping_rounds=_PATIENCE_ROUNDS,
            verbose_eval=False,
        )
        return booster[: booster.best_iteration + 1]
