"""What our services read from MLflow: a run, and files of it."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mlstack.errors import ModelError, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.exceptions import MlflowException

log = logging.getLogger(__name__)

# MLflow takes seconds to import, and a service with local copies does not need it.

PARENT_TAG = "mlflow.parentRunId"
"""MLflow's tag of a trial: its search's own run."""

SEARCH_TAG = "search"
"""Tag of every run of a search: the search's name."""

_ADDRESS = "MLFLOW_TRACKING_URI"
_NO_SUCH_RUN = "RESOURCE_DOES_NOT_EXIST"


def ask_briefly() -> None:
    """Lets this process's MLflow client give up after 20 s, whether MLflow is gone or hangs.

    By itself it goes on trying for minutes, and meanwhile nobody learns what is wrong.
    """
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "8")


def find_run(run_id: str) -> "Run":
    """Looks a run up.

    Raises:
        RegistryUnavailable: MLflow cannot be asked.
        ModelError: it knows no such run.
    """
    from mlflow import MlflowClient  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    if not os.environ.get(_ADDRESS):
        # Without it MLflow makes a registry of its own in the working directory.
        raise RegistryUnavailable(f"{_ADDRESS} is not set: there is no MLflow to ask")
    try:
        return MlflowClient().get_run(run_id)
    except MlflowException as error:
        if error.error_code == _NO_SUCH_RUN:
            raise ModelError(f"MLflow knows no run {run_id}") from error
        raise _unavailable(f"be asked for run {run_id}", error) from error


def download(run_id: str, path: str, folder: Path) -> Path:
    """Downloads a file or folder of a run into a folder; returns where it is.

    Raises:
        RegistryUnavailable: MLflow cannot give it. It calls every failure of a download a
            missing file, so that one that is not there cannot be told apart.
    """
    import mlflow.artifacts  # noqa: PLC0415
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"runs:/{run_id}/{path}", dst_path=str(folder)
            )
        )
    except MlflowException as error:
        raise _unavailable(f"give {path} of run {run_id}", error) from error


def _unavailable(what: str, error: "MlflowException") -> RegistryUnavailable:
    """The sentence is answered to clients too: what the libraries say is for the log."""
    log.warning("MLflow cannot %s: %s", what, error)
    address = urlsplit(os.environ.get(_ADDRESS, ""))
    # What requests raises is an OSError: there was no answer at all.
    reason = (
        f"it does not answer at {address.scheme}://{address.netloc.rpartition('@')[2]}"
        if isinstance(error.__context__, OSError)
        else f"it fails with {error.error_code}"
    )
    return RegistryUnavailable(f"MLflow cannot {what}: {reason} (make status)")
