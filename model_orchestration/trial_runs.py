"""Send trials to MLflow in background threads while the next trials train."""

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.xgboost
import xgboost
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus, Metric, Param, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from mlstack.contract import Contract
from mlstack.data.marginals import Marginals
from mlstack.errors import MlstackError
from mlstack.model.encoder import Encoder
from mlstack.model.mlflow_api import explain
from mlstack.model.model_writer import write_extra_files
from model_orchestration.names import FAILURE, MODEL, STOPPED
from model_orchestration.trials import Trial

MAX_TAG = 5000
"""Maximum length of a tag in MLflow."""
# More threads would only compete for the tracking server's database.
_THREADS = 4
# Unsent models stay in memory, so training waits when MLflow is slower.
_MAX_UNSENT = 16


class TrackingError(MlstackError):
    """MLflow is unreachable or rejects what a search sends."""


@dataclass(frozen=True, slots=True)
class TrialRun:
    """A trial in MLflow; a failed one has no model."""

    run_id: str
    model_id: str | None
    seconds: float


class TrialSender:
    """Sends a search's trials; a failure raises `TrackingError` in the next call.

    `contract_text` is the contract as YAML; `describe` returns the marginals that a model is kept
    with; `tags` are set on every run and name the parent run.
    """

    def __init__(
        self,
        client: MlflowClient,
        experiment_id: str,
        contract: Contract,
        contract_text: str,
        tags: Mapping[str, str],
        *,
        describe: Callable[[xgboost.Booster], Marginals] | None = None,
    ) -> None:
        self._client, self._experiment_id = client, experiment_id
        self._contract, self._contract_text = contract, contract_text
        self._describe = describe
        self._tags = tags
        self._signature = ModelSignature(
            Schema([ColSpec(DataType.float, column) for column in Encoder(contract).columns]),
            Schema([ColSpec(DataType.float)]),
        )
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="mlflow")
        self._futures: dict[int, Future[TrialRun]] = {}
        self.waiting_seconds = 0.0
        """How long the search was blocked by this sender."""

    def send(self, trial: Trial) -> None:
        """Start sending a trial; block first while too many are unsent."""
        start = time.perf_counter()
        unsent = {future for future in self._futures.values() if not future.done()}
        while len(unsent) >= _MAX_UNSENT:
            _, unsent = wait(unsent, return_when=FIRST_COMPLETED)
        self.waiting_seconds += time.perf_counter() - start
        self._raise_failures()
        self._futures[trial.number] = self._threads.submit(self._send, trial)

    def wait(self) -> dict[int, TrialRun]:
        """Wait until every trial is sent; return the runs by trial number."""
        start = time.perf_counter()
        wait(self._futures.values())
        self.waiting_seconds += time.perf_counter() - start
        self._raise_failures()
        return {number: future.result() for number, future in self._futures.items()}

    def close(self) -> None:
        """Drop trials that are still queued, and wait for those being sent."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _raise_failures(self) -> None:
        for number, future in self._futures.items():
            error = future.exception() if future.done() else None
            if error is not None:
                reason = explain(error) if isinstance(error, MlflowException) else error
                raise TrackingError(f"trial {number} cannot be tracked: {reason}") from error

    def _send(self, trial: Trial) -> TrialRun:
        start = time.perf_counter()
        client, params = self._client, {key: str(value) for key, value in trial.params.items()}
        tags = dict(self._tags)
        if trial.failure is not None:
            tags[FAILURE] = trial.failure[:MAX_TAG]
        if trial.stopped:
            tags[STOPPED] = "true"
        run = client.create_run(
            self._experiment_id, tags=tags, run_name=f"trial {trial.number} of {trial.of}"
        )
        run_id, model_id = run.info.run_id, None
        if trial.booster is None:
            client.log_batch(run_id, params=as_params(params))
            client.set_terminated(run_id, RunStatus.to_string(RunStatus.FAILED))
        else:
            model_id = self._send_model(run_id, trial.booster, params)
            metrics = as_metrics({**trial.metrics, "seconds": trial.seconds}, model_id=model_id)
            client.log_batch(run_id, metrics=metrics, params=as_params(params))
            client.set_terminated(run_id)
        return TrialRun(run_id, model_id, time.perf_counter() - start)

    def _send_model(self, run_id: str, booster: xgboost.Booster, params: dict[str, str]) -> str:
        """Do what `log_model` does, without looking up the experiment and all packages."""
        client = self._client
        logged = client.create_logged_model(
            self._experiment_id, name=MODEL, source_run_id=run_id, params=params
        )
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / MODEL
            extra_files = write_extra_files(
                booster,
                self._contract,
                self._contract_text,
                Path(scratch) / "extra",
                self._describe(booster) if self._describe else None,
            )
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


def as_params(params: Mapping[str, Any]) -> list[Param]:
    """Convert values to MLflow parameters."""
    return [Param(key, str(value)) for key, value in params.items()]


def as_metrics(
    metrics: Mapping[str, float], step: int = 0, model_id: str | None = None
) -> list[Metric]:
    """Convert figures to MLflow metrics, with the current time."""
    now = int(time.time() * 1000)
    return [
        Metric(key, float(value), now, step, model_id=model_id) for key, value in metrics.items()
    ]
