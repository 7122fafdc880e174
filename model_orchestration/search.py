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

from mlstack.contract import Contract
from mlstack.errors import MlstackError
from mlstack.model.encoder import Encoder, Matrix
from mlstack.quality.figures import Outcomes
from model_orchestration.metrics import evaluate

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
    "objective": "binary:logistic",
    "eval_metric": "rmse",  # for probabilities this is the root of the Brier score
    "tree_method": "hist",
    "nthread": 1,  # trees over a few thousand rows do not benefit from threads
}
_MAX_ROUNDS = 1000
_PATIENCE_ROUNDS = 30


class SearchError(MlstackError):
    """Every trial of a search failed."""


class Rows(NamedTuple):
    """Encoded rows: matrix of shape (n_rows, n_columns), outcomes of shape (n_rows,)."""

    matrix: Matrix
    outcomes: Outcomes
    columns: tuple[str, ...] | None = None
    """Column names of the matrix, which a model stores."""

    @classmethod
    def encode(cls, rows: pd.DataFrame, contract: Contract) -> "Rows":
        """Encode clean rows with their target."""
        encoder = Encoder(contract)
        outcomes = rows[contract.target.name].to_numpy()
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

    @property
    def loss(self) -> float:
        """The validation RMSE, which the search minimises."""
        return self.metrics["rmse"] if self.failure is None else np.inf


OnTrial = Callable[[Trial, Trial | None], None]
"""Called after each trial with it and the best so far (None if all have failed)."""


def search(
    train: Rows,
    validation: Rows,
    *,
    trials: int,
    seed: int,
    on_trial: OnTrial | None = None,
    space: Space = SPACE,
) -> Trial:
    """Search for the model with the lowest validation RMSE; return the best trial.

    Validation rows also stop a trial's training early. The same rows, number of trials, seed and
    library versions give the same models. An exception in `on_trial` ends the search. Raises
    SearchError if every trial failed.
    """
    trainer = _Trainer(train, validation)
    number = 0
    best: Trial | None = None
    failure: str | None = None

    def objective(drawn: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal number, best, failure
        number += 1
        trial = trainer.run_trial(number, trials, {**_FIXED, **drawn, "seed": seed})
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

    def __init__(self, train: Rows, validation: Rows) -> None:
        self._validation_rows = validation
        self._train = xgboost.QuantileDMatrix(
            train.matrix, train.outcomes, feature_names=train.columns, nthread=1
        )
        self._validation = xgboost.QuantileDMatrix(
            validation.matrix,
            validation.outcomes,
            feature_names=validation.columns,
            ref=self._train,
            nthread=1,
        )

    def run_trial(self, number: int, of: int, params: dict[str, Any]) -> Trial:
        start = time.perf_counter()
        booster, metrics, failure = None, dict[str, float](), None
        try:
            booster = self._train_model(params)
            rows = self._validation_rows
            metrics = evaluate(rows.outcomes, booster.inplace_predict(rows.matrix))
            metrics["trees"] = booster.num_boosted_rounds()
        except Exception as error:  # noqa: BLE001 - the next trial may succeed
            booster, failure = None, f"{type(error).__name__}: {error}"
        return Trial(number, of, params, time.perf_counter() - start, booster, metrics, failure)

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
