"""Access MLflow's tracking server: client, runs and their files.

MLflow takes seconds to import, so each function imports it on first use: a service with local
copies of its models starts without it.
"""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlstack.errors import ModelError, RegistryUnavailable, listing
from mlstack.run_ids import is_run_id
from mlstack.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.exceptions import MlflowException

log = logging.getLogger(__name__)

PARENT_TAG = "mlflow.parentRunId"
"""MLflow's tag that links a trial's run to its search's run."""

SEARCH_TAG = "search"
"""Tag of all runs of a search; its value is the search's name."""

_ADDRESS = "MLFLOW_TRACKING_URI"
_NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"
_NO_SUCH_ALIAS = "INVALID_PARAMETER_VALUE"
_MODELS = "models:/"
_MAX_NAMED = 5


def shorten_timeouts() -> None:
    """Make this process's MLflow client give up after 20 s.

    By default it retries for minutes without saying what is wrong.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")


def connect() -> "MlflowClient":
    """Return a client of the tracking server.

    Raises RegistryUnavailable if none is set; MLflow would silently use a local folder.
    """
    from mlflow import MlflowClient  # noqa: PLC0415 - see the module

    if not os.environ.get(_ADDRESS):
        raise RegistryUnavailable(f"{_ADDRESS} is not set: no MLflow server is configured")
    return MlflowClient()


def run_address(experiment_id: str, run_id: str) -> str:
    """Return the URL of a run's page."""
    return f"{Settings.load().mlflow_url}/#/experiments/{experiment_id}/runs/{run_id}"


def find_run(run_id: str) -> "Run":
    """Look up a run.

    Raises ModelError if MLflow has no such run, and RegistryUnavailable if the query fails.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see the module

    client = connect()
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == _NO_SUCH_RUN:
            raise ModelError(f"MLflow has no run {run_id}") from error
        raise _unavailable(f"look up run {run_id}", error) from error


def find_run_id(run: str) -> str:
    """Return the run id of what `run_ids.read_run` has read.

    Raises ModelError if MLflow has no such run or several, and RegistryUnavailable if the query
    fails.
    """
    if is_run_id(run):
        return run
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see the module

    client = connect()
    try:
        found = _runs_named(client, run)
    except MlflowException as error:
        if error.error_code in {_NO_SUCH_RUN, _NO_SUCH_ALIAS}:
            raise ModelError(f"MLflow has no {run}: {error.message}") from error
        raise _unavailable(f"look up {run}", error) from error
    if not found:
        raise ModelError(f"MLflow has no run that {run} names")
    if len(found) > 1:
        raise ModelError(f"{run} names several runs: {listing(found)}")
    return found[0]


def _runs_named(client: "MlflowClient", run: str) -> list[str]:
    if run.startswith("m-"):
        return [str(run_id)] if (run_id := client.get_logged_model(run).source_run_id) else []
    name, at, alias = run.removeprefix(_MODELS).partition("@")
    if at:
        return _source(client.get_model_version_by_alias(name, alias))
    name, slash, version = name.rpartition("/")
    if slash and version == "latest":
        found = client.search_model_versions(f"name = '{name}'", order_by=["version_number DESC"])
        return _source(found[0]) if found else []
    if slash:
        return _source(client.get_model_version(name, version))
    experiments = [each.experiment_id for each in client.search_experiments()]
    begin = f"attributes.run_id LIKE '{run}%'"
    runs = client.search_runs(experiments, begin, max_results=_MAX_NAMED)
    return [str(each.info.run_id) for each in runs]


def _source(version: "ModelVersion") -> list[str]:
    return [str(version.run_id)] if version.run_id else []


def download(run_id: str, path: str, folder: Path) -> Path:
    """Download a file or folder of a run into a folder; return its path there.

    Raises RegistryUnavailable if that fails. MLflow reports every failed download as a missing
    file, so a file that does not exist cannot be told apart.
    """
    import mlflow.artifacts  # noqa: PLC0415 - see the module
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - MLflow takes seconds to import

    try:
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"runs:/{run_id}/{path}", dst_path=str(folder)
            )
        )
    except MlflowException as error:
        raise _unavailable(f"give {path} of run {run_id}", error) from error


def _unavailable(what: str, error: "MlflowException") -> RegistryUnavailable:
    """Build an error that clients may see, and log the original message."""
    log.warning("MLflow cannot %s: %s", what, error)
    address = urlsplit(os.environ.get(_ADDRESS, ""))
    # Exceptions of requests are OSErrors: there was no response.
    reason = (
        f"it does not answer at {address.scheme}://{address.netloc.rpartition('@')[2]}"
        if isinstance(error.__context__, OSError)
        else f"it fails with {error.error_code}"
    )
    return RegistryUnavailable(f"MLflow cannot {what}: {reason} (make status)")
