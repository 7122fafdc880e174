"""What a search leaves in MLflow: a parent run, and a run with a model for every trial.

Trials are sent by a few threads while the next ones train. Whatever cannot be sent ends
the search: a model that nobody can look up is of no use.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mlflow.xgboost
import xgboost
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from mlstack.contract import Contract
from mlstack.model.encoder import Encoder
from mlstack.model.mlflow_runs import PARENT_TAG, SEARCH_TAG
from mlstack.model.model import write_extra_files
from model_orchestration.mlflow_api import TrackingError, run_address
from model_orchestration.names import BEST_RUN, FAILURE, MODEL, TEST_PREFIX
from model_orchestration.search import Trial

# More threads only wait for each other in the tracking server's database.
_SENDERS = 4
# Models wait in memory: when MLflow is slower than training, training waits for it.
_MAX_UNSENT = 16
_MAX_TAG = 5000


@dataclass(frozen=True, slots=True)
class Seconds:
    """Where a search's time went.

    Attributes:
        training: Training and scoring of all trials: what the bare search takes.
        sending: Work of all senders together, most of it beside the training.
        waiting: The search stood still for the senders.
    """

    training: float
    sending: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Winner:
    """The winner of a search in MLflow: its run, its model, its figures on the test rows."""

    run_id: str
    model_id: str
    test_metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Sent:
    run_id: str
    model_id: str | None
    seconds: float


class SearchTracking:
    """A search's runs in MLflow; as a context manager, from the first trial to the last word.

    Left by an exception, the parent run is FAILED and says why.

    Args:
        client: As `connect` gives it.
        contract_text: The contract's YAML; its name names the experiment.
        tags: Put on every run: where the search's data, code and libraries come from.
        params: Of the search, put on the parent run.
        name: The parent run's name.
    """

    def __init__(
        self,
        client: MlflowClient,
        contract_text: str,
        *,
        tags: Mapping[str, str],
        params: Mapping[str, Any],
        name: str,
    ) -> None:
        self._client, self._contract_text = client, contract_text
        self._tags, self._params, self._name = {**tags, SEARCH_TAG: name}, params, name
        contract = Contract.parse(contract_text)
        self._experiment = contract.name
        self._signature = ModelSignature(
            Schema([ColSpec(DataType.float, column) for column in Encoder(contract).columns]),
            Schema([ColSpec(DataType.float)]),
        )
        self._senders = ThreadPoolExecutor(_SENDERS, thread_name_prefix="mlflow")
        self._sending: dict[int, Future[_Sent]] = {}
        self._trials: list[Trial] = []
        self._waiting = 0.0
        self.experiment_id = ""
        self.run_id = ""
        """The parent run."""

    def __enter__(self) -> Self:
        try:
            self.experiment_id = _experiment(self._client, self._experiment)
            _end_abandoned_runs(self._client, self.experiment_id)
            run = self._client.create_run(
                self.experiment_id, tags=dict(self._tags), run_name=self._name
            )
            self.run_id = run.info.run_id
            self._client.log_batch(self.run_id, params=_params(self._params))
        except MlflowException as error:
            raise TrackingError(f"MLflow cannot take a search: {error}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._senders.shutdown(wait=True, cancel_futures=True)
        try:
            if error is None:
                self._client.set_terminated(self.run_id)
            else:
                reason = f"{type(error).__name__}: {error}"
                self._client.set_tag(self.run_id, FAILURE, reason[:_MAX_TAG])
                self._client.set_terminated(self.run_id, RunStatus.to_string(RunStatus.FAILED))
        except MlflowException as second:
            if error is None:
                raise TrackingError(f"MLflow did not take the search's end: {second}") from second
            error.add_note(f"MLflow could not be told either: {second}")

    @property
    def address(self) -> str:
        """Where people look at the parent run."""
        return run_address(self.experiment_id, self.run_id)

    def take(self, trial: Trial) -> None:
        """Takes a trial to be sent in the background; waits while too many are on their way.

        Raises:
            TrackingError: this or an earlier one cannot be sent.
        """
        start = time.perf_counter()
        pending = {f for f in self._sending.values() if not f.done()}
        while len(pending) >= _MAX_UNSENT:
            _, pending = wait(pending, return_when=FIRST_COMPLETED)
        self._waiting += time.perf_counter() - start
        self._raise_failures()
        self._trials.append(replace(trial, booster=None))
        self._sending[trial.number] = self._senders.submit(self._send, trial)

    def all_sent(self) -> Seconds:
        """Waits until every trial is in MLflow; logs and returns where the time went.

        Raises:
            TrackingError: one cannot be sent.
        """
        start = time.perf_counter()
        wait(self._sending.values())
        self._waiting += time.perf_counter() - start
        self._raise_failures()
        seconds = Seconds(
            training=sum(trial.seconds for trial in self._trials),
            sending=sum(future.result().seconds for future in self._sending.values()),
            waiting=self._waiting,
        )
        history = [
            metric
            for trial in self._trials
            if trial.failure is None
            for metric in _metrics({"trial_rmse": trial.loss}, step=trial.number)
        ]
        spent = {
            "seconds_training": seconds.training,
            "seconds_sending": seconds.sending,
            "seconds_waiting": seconds.waiting,
        }
        self._log(self.run_id, history + _metrics(spent))
        return seconds

    @property
    def trials(self) -> Sequence[Trial]:
        """All that were taken, without their models."""
        return self._trials

    def winner(self, best: Trial, test_metrics: Mapping[str, float]) -> Winner:
        """Notes the winner on its own run and on the parent, with its test figures.

        Raises:
            TrackingError: MLflow cannot be reached, or refuses.
        """
        sent = self._sending[best.number].result()
        assert sent.model_id is not None  # noqa: S101 - a winner has a model
        test = {f"{TEST_PREFIX}{name}": value for name, value in test_metrics.items()}
        self._log(sent.run_id, _metrics(test), {"winner": "true"})
        both = _metrics({**best.metrics, **test})
        self._log(self.run_id, both, {BEST_RUN: sent.run_id, "best_trial": str(best.number)})
        return Winner(sent.run_id, sent.model_id, test_metrics)

    def attach(self, files: Mapping[str, str | Figure]) -> None:
        """Puts texts and pictures on the parent run.

        Args:
            files: By path inside of the run's artifacts.

        Raises:
            TrackingError: MLflow cannot be reached, or refuses.
        """
        try:
            for path, content in files.items():
                if isinstance(content, str):
                    self._client.log_text(self.run_id, content, path)
                else:
                    self._client.log_figure(self.run_id, content, path)
        except MlflowException as error:
            raise TrackingError(f"MLflow does not take the search's files: {error}") from error

    def _log(
        self, run_id: str, metrics: list[Metric], tags: Mapping[str, str] | None = None
    ) -> None:
        run_tags = [RunTag(key, value) for key, value in (tags or {}).items()]
        try:
            self._client.log_batch(run_id, metrics=metrics, tags=run_tags)
        except MlflowException as error:
            raise TrackingError(f"MLflow does not take the search's result: {error}") from error

    def _raise_failures(self) -> None:
        for number, future in self._sending.items():
            error = future.exception() if future.done() else None
            if error is not None:
                raise TrackingError(f"trial {number} cannot be tracked: {error}") from error

    def _send(self, trial: Trial) -> _Sent:
        start = time.perf_counter()
        client, params = self._client, {key: str(value) for key, value in trial.params.items()}
        tags = {**self._tags, PARENT_TAG: self.run_id}
        if trial.failure is not None:
            tags[FAILURE] = trial.failure[:_MAX_TAG]
        run = client.create_run(
            self.experiment_id, tags=tags, run_name=f"trial {trial.number} of {trial.of}"
        )
        run_id, model_id = run.info.run_id, None
        if trial.booster is None:
            client.log_batch(run_id, params=_params(params))
            client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
        else:
            model_id = self._send_model(run_id, trial.booster, params)
            metrics = _metrics({**trial.metrics, "seconds": trial.seconds}, model_id=model_id)
            client.log_batch(run_id, metrics=metrics, params=_params(params))
            client.set_terminated(run_id)
        return _Sent(run_id, model_id, time.perf_counter() - start)

    def _send_model(self, run_id: str, booster: xgboost.Booster, params: dict[str, str]) -> str:
        """What `log_model` does, without looking up what is known: experiment, packages."""
        client = self._client
        logged = client.create_logged_model(
            self.experiment_id, name=MODEL, source_run_id=run_id, params=params
        )
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / MODEL
            extra_files = write_extra_files(booster, self._contract_text, Path(scratch) / "extra")
            mlflow.xgboost.save_model(
                booster,
                str(folder),
                mlflow_model=Model(
                    artifact_path=logged.artifact_location,
                    run_id=run_id,
                    model_uuid=logged.model_id,
                    model_id=logged.model_id,
                ),
                signature=self._signature,
                pip_requirements=[f"xgboost=={xgboost.__version__}"],
                extra_files=[str(file) for file in extra_files],
            )
            client.log_model_artifacts(logged.model_id, str(folder))
        client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        return str(logged.model_id)


def _experiment(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    return str(experiment.experiment_id if experiment else client.create_experiment(name))


def _end_abandoned_runs(client: MlflowClient, experiment_id: str) -> None:
    """Runs of a search whose process died are RUNNING for ever: there is one search at a time."""
    status = RunStatus.to_string(RunStatus.RUNNING)
    # Not what people run by hand in the same experiment.
    running = f"attributes.status = '{status}' and tags.{SEARCH_TAG} LIKE '%'"
    while runs := client.search_runs([experiment_id], running):
        for run in runs:
            client.set_tag(run.info.run_id, FAILURE, "the process of the search died")
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _params(params: Mapping[str, Any]) -> list[Param]:
    return [Param(key, str(value)) for key, value in params.items()]


def _metrics(
    metrics: Mapping[str, float], step: int = 0, model_id: str | None = None
) -> list[Metric]:
    now = int(time.time() * 1000)
    return [
        Metric(key, float(value), now, step, model_id=model_id) for key, value in metrics.items()
    ]
