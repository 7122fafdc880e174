"""Access MLflow's tracking server: client, runs and their files.

MLflow takes seconds to import, so each function imports it on first use: a service with local
copies of its models starts without it.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mlstack.errors import ModelError, RegistryUnavailable, echo, listing
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

DATA_TAG = "data_sha256"
"""Tag of a search's runs: SHA-256 of the raw table."""

DATA_KEY_TAG = "data_key"
"""Tag of a search's runs: the raw table's key in the feature store."""

REVISION_TAG = "git_revision"
"""Tag of a search's runs: revision of the code that trained them."""

BEST_RUN = "best_run_id"
"""Tag of a search's run: the winner's run id."""

NOT_FOUND = "RESOURCE_DOES_NOT_EXIST"
"""MLflow's error code for what does not exist, or was deleted."""

_ADDRESS = "MLFLOW_TRACKING_URI"
_NO_SUCH_ALIAS = "INVALID_PARAMETER_VALUE"
_MODELS = "models:/"
_MAX_NAMED = 5
_MAX_MESSAGE = 200
_DELETED_MEANWHILE = re.compile(r"The (experiment|run) (\w+) must be in the 'active' state")


def shorten_timeouts() -> None:
    """Make this process's MLflow client give up after 20 s.

    By default it retries for minutes without saying what is wrong.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")


def tracking_address() -> str:
    """Return the address of the tracking server; raise RegistryUnavailable if none is set."""
    address = os.environ.get(_ADDRESS)
    if not address:
        raise RegistryUnavailable(f"{_ADDRESS} is not set: no MLflow server is configured")
    return address


def connect() -> "MlflowClient":
    """Return a client of the tracking server.

    Raises RegistryUnavailable if none is set; MLflow would silently use a local folder.
    """
    from mlflow import MlflowClient  # noqa: PLC0415 - see the module

    tracking_address()
    return MlflowClient()


def run_address(experiment_id: str, run_id: str) -> str:
    """Return the URL of a run's page."""
    return f"{experiment_address(Settings.load().mlflow_url, experiment_id)}/runs/{run_id}"


def experiment_address(mlflow: str, experiment_id: str) -> str:
    """Return the URL of an experiment's page, or `mlflow`, MLflow's own URL, without an id."""
    return f"{mlflow}/#/experiments/{experiment_id}" if experiment_id else mlflow


def pages(search: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
    """Yield all results of an MLflow search, page by page."""
    token: str | None = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


def find_run(run_id: str) -> "Run":
    """Look up a run.

    Raises ModelError if MLflow has no such run, and RegistryUnavailable if the query fails.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see the module

    client = connect()
    # People can type any text into the tags that name runs.
    if not is_run_id(run_id):
        raise ModelError(f"MLflow has no run {echo(run_id)}")
    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == NOT_FOUND:
            raise ModelError(f"MLflow has no run {run_id}") from error
        raise _unavailable(f"look up run {run_id}", error) from error


def find_search(run: "Run") -> str:
    """Return the run id of a run's search; that of the run itself if it is no trial.

    People can edit the tag of a trial; a winner is then found by the tag of its search. Raises
    RegistryUnavailable if a query fails.
    """
    from mlflow.entities import ViewType  # noqa: PLC0415 - see the module
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    run_id = str(run.info.run_id)
    if parent := run.data.tags.get(PARENT_TAG):
        try:
            return str(find_run(parent).info.run_id)
        except RegistryUnavailable:
            raise
        except ModelError as error:
            log.warning("the tag %s of run %s names no run: %s", PARENT_TAG, run_id, error)
    try:
        found = connect().search_runs(
            [run.info.experiment_id], f"tags.{BEST_RUN} = '{run_id}'", ViewType.ALL, max_results=1
        )
    except MlflowException as error:
        raise _unavailable(f"look up the search of run {run_id}", error) from error
    return str(found[0].info.run_id) if found else run_id


def check_not_deleted(run: "Run") -> None:
    """Check that nobody has deleted a run in MLflow, alone or with its experiment.

    Raises ModelError with the way out, and RegistryUnavailable if the query fails.
    """
    from mlflow.entities import LifecycleStage  # noqa: PLC0415 - see the module
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    if run.info.lifecycle_stage != LifecycleStage.DELETED:
        return
    deleted = f"run {run.info.run_id} was deleted"
    try:
        experiment = connect().get_experiment(run.info.experiment_id)
    except MlflowException as error:
        raise _unavailable(f"look up the experiment of run {run.info.run_id}", error) from error
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise ModelError(
            f"{deleted} with its experiment {experiment.name!r}: make train restores both, and "
            "make prune does if the run is deployed; or choose another run"
        )
    raise ModelError(
        f"{deleted}: restore it in MLflow (make prune does if it is deployed), or choose another "
        "run"
    )


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
        if error.error_code in {NOT_FOUND, _NO_SUCH_ALIAS}:
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

    Raises ModelError if the run does not have it, and RegistryUnavailable if the download fails.
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
        if not _is_silent(error) and _is_absent(run_id, path):
            raise ModelError(f"run {run_id} has no {path} in MLflow") from error
        raise _unavailable(f"give {path} of run {run_id}", error) from error


def explain(error: "MlflowException") -> str:
    """Say in one sentence why MLflow has rejected a request, and log the original message."""
    log.warning("MLflow rejects a request: %s", error)
    if _is_silent(error):
        return f"{_no_answer()} (make status)"
    if deleted := _DELETED_MEANWHILE.search(str(error.message)):
        return (
            f"somebody has deleted the {deleted[1]} {deleted[2]} in MLflow; start again with make "
            "train, which restores a deleted experiment"
        )
    message = str(error.message).removeprefix(f"{error.error_code}: ").partition("\n")[0]
    return f"{message[:_MAX_MESSAGE]} ({error.error_code})"


def _is_absent(run_id: str, path: str) -> bool:
    """Whether MLflow lists a run's files, but not this one.

    MLflow reports every failed download as a missing file.
    """
    import mlflow.artifacts  # noqa: PLC0415 - see the module
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - as above

    try:
        files = connect().list_artifacts(run_id, path.rpartition("/")[0] or None)
        # A logged model is not among the run's own files.
        model = mlflow.artifacts.list_artifacts(artifact_uri=f"runs:/{run_id}/{path}")
    except MlflowException:
        return False
    return not model and path not in {file.path for file in files}


def _is_silent(error: "MlflowException") -> bool:
    """Whether there was no response: exceptions of requests are OSErrors."""
    return isinstance(error.__context__, OSError)


def _no_answer() -> str:
    address = urlsplit(os.environ.get(_ADDRESS, ""))
    return f"it does not answer at {address.scheme}://{address.netloc.rpartition('@')[2]}"


def _unavailable(what: str, error: "MlflowException") -> RegistryUnavailable:
    """Build an error that clients may see, and log the original message."""
    log.warning("MLflow cannot %s: %s", what, error)
    reason = _no_answer() if _is_silent(error) else f"it fails with {error.error_code}"
    return RegistryUnavailable(f"MLflow cannot {what}: {reason} (make status)")
