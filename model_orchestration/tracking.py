"""Track a search in MLflow: a parent run, and a child run with model per trial.

A failure to send ends the search, because an untracked model is useless.
"""

import hashlib
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from types import TracebackType
from typing import Any, Self

import pandas as pd
import xgboost
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Metric, RunStatus, RunTag
from mlflow.exceptions import MlflowException

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.data.kept_tables import table_key
from mlstack.data.marginals import Marginals
from mlstack.model.mlflow_api import (
    BEST_RUN,
    DATA_KEY_TAG,
    DATA_TAG,
    PARENT_TAG,
    REVISION_TAG,
    SEARCH_TAG,
    connect,
    explain,
    run_address,
)
from mlstack.model.onnx_form import xgboost_margins
from mlstack.model.target_columns import prediction_columns
from mlstack.model.targets import Scores, as_scores
from mlstack.quality.reference import REFERENCE_FILE
from mlstack.revision import git_revision
from model_orchestration import plots
from model_orchestration.metrics import evaluate, loss_name
from model_orchestration.names import FAILURE, TEST_PREFIX
from model_orchestration.trial_runs import (
    MAX_TAG,
    TrackingError,
    TrialRun,
    TrialSender,
    as_metrics,
    as_params,
)
from model_orchestration.trials import Rows, Trial

_LIBRARIES = ("hyperopt", "mlflow-skinny", "numpy", "pandas", "prefect", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Effort:
    """What a search's trials have cost, in seconds."""

    training: float
    """Total over all trials, of which some may train at the same time."""
    sending: float
    """Total over all sending threads; most of it overlaps with training."""
    waiting: float
    """Time that the search was blocked by the sending threads."""
    stopped: int
    """Number of trials that were stopped because they could no longer become the best."""


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of a search in MLflow."""

    run_id: str
    model_id: str
    test_metrics: Mapping[str, float]
    scores: Scores = field(repr=False, compare=False)
    """What the model returns for the test rows."""


class SearchTracking:
    """The runs of a search in MLflow; a context manager around the search.

    If the context exits with an exception, the parent run is marked FAILED, with the reason. Every
    method raises `TrackingError` when MLflow is unreachable or rejects a request.

    Args:
        contract: The models' contract, whose name is also that of the experiment.
        contract_text: The same contract as YAML.
        tags: Tags of every run; see `provenance`.
        params: Parameters of the search, logged in the parent run.
        name: Name of the parent run.
        describe: Returns the marginals that a model is kept with.

    Raises:
        RegistryUnavailable: no tracking server is set.
    """

    def __init__(
        self,
        contract: Contract,
        contract_text: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        name: str,
        describe: Callable[[xgboost.Booster], Marginals] | None = None,
    ) -> None:
        self._client = connect()
        self._describe = describe
        self._contract, self._contract_text = contract, contract_text
        self._tags, self._params, self._name = {**tags, SEARCH_TAG: name}, params, name
        self._trials: list[Trial] = []
        self._runs: dict[int, TrialRun] = {}
        self.experiment_id = ""
        self.restored = False
        """Whether somebody had deleted the experiment, and it was restored."""
        self.run_id = ""
        """Id of the parent run."""

    def __enter__(self) -> Self:
        # Otherwise MLflow would report hundreds of uploads and the end of 51 runs.
        os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        with _tracking_errors("does not accept the search"):
            self.experiment_id, self.restored = _find_experiment(self._client, self._contract.name)
            _end_abandoned_runs(self._client, self.experiment_id)
            run = self._client.create_run(
                self.experiment_id, tags=dict(self._tags), run_name=self._name
            )
            self.run_id = run.info.run_id
            self._client.log_batch(self.run_id, params=as_params(self._params))
        self._sender = TrialSender(
            self._client,
            self.experiment_id,
            self._contract,
            self._contract_text,
            {**self._tags, PARENT_TAG: self.run_id},
            describe=self._describe,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sender.close()
        if error is None:
            with _tracking_errors("does not accept the search's end"):
                self._client.set_terminated(self.run_id)
            return
        try:
            reason = f"{type(error).__name__}: {error}"
            self._client.set_tag(self.run_id, FAILURE, reason[:MAX_TAG])
            self._client.set_terminated(self.run_id, RunStatus.to_string(RunStatus.FAILED))
        except MlflowException as second:
            error.add_note(f"MLflow could not be updated: {second}")

    @property
    def address(self) -> str:
        """URL of the parent run in the MLflow UI."""
        return run_address(self.experiment_id, self.run_id)

    def add(self, trial: Trial) -> None:
        """Send a trial in the background; block while too many are unsent."""
        self._sender.send(trial)
        self._trials.append(replace(trial, booster=None))

    def finish_trials(self) -> Effort:
        """Wait until MLflow has every trial; log and return what they cost."""
        self._runs = self._sender.wait()
        effort = Effort(
            training=sum(trial.seconds for trial in self._trials),
            sending=sum(run.seconds for run in self._runs.values()),
            waiting=self._sender.waiting_seconds,
            stopped=sum(trial.stopped for trial in self._trials),
        )
        metrics = as_metrics(
            {
                "seconds_training": effort.training,
                "seconds_sending": effort.sending,
                "seconds_waiting": effort.waiting,
            }
        )
        loss = loss_name(self._contract.target)
        for trial in self._trials:
            if trial.failure is None:
                metrics += as_metrics({f"trial_{loss}": trial.loss}, step=trial.number)
        self._log(self.run_id, metrics)
        return effort

    def conclude(self, best: Trial, train_table: pd.DataFrame, train: Rows, test: Rows) -> Winner:
        """Evaluate the winner on the test rows; log its metrics, reference and plots.

        All trials must have been sent. `train_table` has the clean training rows with target;
        `train` has the same rows encoded.
        """
        run = self._runs[best.number]
        assert best.booster is not None  # noqa: S101 - a winner has a model
        assert run.model_id is not None  # noqa: S101 - the same
        target = self._contract.target
        # As servers score: the same model must compare as equal with itself.
        scores = as_scores(target, xgboost_margins(best.booster, test.matrix))
        test_metrics = evaluate(target, test.outcomes, scores)
        test_figures = {f"{TEST_PREFIX}{name}": value for name, value in test_metrics.items()}
        self._log(run.run_id, as_metrics(test_figures), {"winner": "true"})
        self._log(
            self.run_id,
            as_metrics({**best.metrics, **test_figures}),
            {BEST_RUN: run.run_id, "best_trial": str(best.number)},
        )
        predicted = prediction_columns(
            target, best.booster.inplace_predict(train.matrix), train_table.index
        )
        reference = train_table.assign(**{PREDICTION: predicted[PREDICTION]})
        figures = plots.all_plots(self._contract, self._trials, best, test.outcomes, scores)
        with _tracking_errors("does not accept the search's files"):
            self._client.log_text(self.run_id, reference.to_csv(index=False), REFERENCE_FILE)
            for name, figure in figures.items():
                self._client.log_figure(self.run_id, figure, f"plots/{name}")
        return Winner(run.run_id, run.model_id, test_metrics, scores)

    def _log(
        self, run_id: str, metrics: list[Metric], tags: Mapping[str, str] | None = None
    ) -> None:
        run_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
        with _tracking_errors("does not accept the search's result"):
            self._client.log_batch(run_id, metrics=metrics, tags=run_tags)


def provenance(raw: bytes, contract: Contract) -> dict[str, str]:
    """Return tags that identify a search's raw data, contract, code and libraries."""
    return {
        DATA_TAG: hashlib.sha256(raw).hexdigest(),
        DATA_KEY_TAG: table_key(raw),
        "contract": contract.name,
        "contract_digest": contract.digest,
        REVISION_TAG: git_revision(),
        "version.python": platform.python_version(),
        # The distribution has another name on machines without a GPU.
        "version.xgboost": xgboost.__version__,
        **{f"version.{library}": version(library) for library in _LIBRARIES},
    }


def _find_experiment(client: MlflowClient, name: str) -> tuple[str, bool]:
    """Return the experiment's id, and whether it had been deleted and is restored now.

    MLflow keeps the name of a deleted experiment, so it cannot be created anew.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return str(client.create_experiment(name)), False
    deleted = experiment.lifecycle_stage == LifecycleStage.DELETED
    if deleted:
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id), deleted


def _end_abandoned_runs(client: MlflowClient, experiment_id: str) -> None:
    """Mark the runs of dead searches as KILLED; only one search runs at a time."""
    status = RunStatus.to_string(RunStatus.RUNNING)
    # Runs without the tag belong to users.
    running = f"attributes.status = '{status}' and tags.{SEARCH_TAG} LIKE '%'"
    while runs := client.search_runs([experiment_id], running):
        for run in runs:
            client.set_tag(run.info.run_id, FAILURE, "the process of the search died")
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


@contextmanager
def _tracking_errors(what: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        raise TrackingError(f"MLflow {what}: {explain(error)}") from error
