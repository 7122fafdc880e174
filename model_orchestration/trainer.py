"""Train one trial of a search."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import xgboost

from mlstack.contract.target import RegressionTarget, Target
from mlstack.model.targets import objective
from model_orchestration.hopeless import HopelessStop
from model_orchestration.metrics import evaluate, loss_name
from model_orchestration.trials import Rows, Trial

_PER_ROW = ("lambda", "min_child_weight")
"""Parameters that are compared with sums of the rows' weights."""
_MAX_ROUNDS: Final = 1000
_PATIENCE_ROUNDS: Final = 30


class _Threads(xgboost.callback.TrainingCallback):
    """Sets the number of threads before each round."""

    def __init__(self, threads: Callable[[], int]) -> None:
        super().__init__()
        self._threads, self._given = threads, 0

    def before_iteration(
        self,
        model: Any,
        epoch: int,  # noqa: ARG002 - the signature is XGBoost's
        evals_log: Mapping[str, Mapping[str, Any]],  # noqa: ARG002 - the same
    ) -> bool:
        """Set the number if it has changed; training goes on."""
        if (threads := self._threads()) != self._given:
            model.set_param({"nthread": threads})
            self._given = threads
        return False


class Trainer:
    """Trains models on rows that are binned once; binning costs more than training.

    Several trials may train at the same time, each with `threads` threads of XGBoost, whose number
    does not change the models.
    """

    def __init__(self, train: Rows, validation: Rows, target: Target, threads: int) -> None:
        self._validation_rows, self._target, self._threads = validation, target, threads
        self._fixed = {"tree_method": "hist", "nthread": threads, **objective(target)}
        # The search space suits errors around 1, and XGBoost makes no split that gains less than
        # 1e-6. With this weight, numbers of any unit are learnt as if their variance were 1.
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
            nthread=self._threads,
        )

    def run_trial(
        self,
        number: int,
        of: int,
        drawn: dict[str, Any],
        rival: float,
        is_unwanted: Callable[[], bool] = lambda: False,
        *,
        threads: Callable[[], int] | None = None,
    ) -> Trial:
        """Train a model with drawn parameters; stop if it can no longer beat the rival's loss.

        It also stops once `is_unwanted` returns true; its result is then useless. `threads` returns
        how many threads it may use now, if that changes.
        """
        start = time.perf_counter()
        params = {**self._fixed, **drawn}
        if self._weight != 1:
            params |= {name: self._weight * params[name] for name in _PER_ROW if name in params}
        booster, metrics, failure, loss = None, dict[str, float](), None, np.inf
        stop = HopelessStop(_MAX_ROUNDS, rival, is_unwanted)
        try:
            callbacks = [stop] if threads is None else [stop, _Threads(threads)]
            booster = self._train_model(params, callbacks)
            rows = self._validation_rows
            metrics = evaluate(self._target, rows.outcomes, booster.inplace_predict(rows.matrix))
            loss = metrics[loss_name(self._target)]
            metrics["trees"] = booster.num_boosted_rounds()
        except Exception as error:  # noqa: BLE001 - the next trial may succeed
            booster, failure = None, f"{type(error).__name__}: {error}"
        seconds = time.perf_counter() - start
        # It is logged, because a model is reproduced by its parameters.
        params |= {} if self._weight == 1 else {"row_weight": self._weight}
        return Trial(number, of, params, seconds, booster, metrics, failure, loss, stop.has_stopped)

    def _train_model(
        self, params: dict[str, Any], callbacks: Sequence[xgboost.callback.TrainingCallback]
    ) -> xgboost.Booster:
        booster = xgboost.train(
            params,
            self._train,
            num_boost_round=_MAX_ROUNDS,
            evals=[(self._validation, "validation")],
            verbose_eval=False,
            callbacks=[xgboost.callback.EarlyStopping(rounds=_PATIENCE_ROUNDS), *callbacks],
        )
        return booster[: booster.best_iteration + 1]
