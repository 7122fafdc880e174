"""The way to MLflow's tracking server."""

import os

import mlflow.environment_variables
from mlflow import MlflowClient

from mlstack.errors import MlstackError, SettingsError
from mlstack.settings import Settings


class TrackingError(MlstackError):
    """MLflow cannot be reached, or refuses what a search has to say."""


def connect() -> MlflowClient:
    """A client of the tracking server.

    Raises:
        SettingsError: no server is set; MLflow would silently write to a local folder.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise SettingsError("MLFLOW_TRACKING_URI is not set: there is no MLflow to write to")
    # A search uploads some hundred files and ends 51 runs: neither is news.
    mlflow.environment_variables.MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]
    mlflow.environment_variables.MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)  # type: ignore[no-untyped-call]
    return MlflowClient()


def run_address(experiment_id: str, run_id: str) -> str:
    """Where people look at a run."""
    return f"{Settings.load().mlflow_url}/#/experiments/{experiment_id}/runs/{run_id}"
