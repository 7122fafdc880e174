"""Look up what pages link to, without importing MLflow, which takes seconds and memory."""

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from mlstack.errors import RegistryUnavailable
from mlstack.model.mlflow_api import tracking_address
from mlstack.probes import OK, ask, why


def find_experiment(name: str, run_id: str | None = None) -> str:
    """Return the id of a run's experiment, else of the one with a name; empty if there is neither.

    Raises RegistryUnavailable if the query fails.
    """
    if run_id and (run := _get("runs/get", run_id=run_id)):
        return str(run["run"]["info"]["experiment_id"])
    found = _get("experiments/get-by-name", experiment_name=name)
    return str(found["experiment"]["experiment_id"]) if found else ""


def find_version(run_id: str) -> str:
    """Return name and number of the version that a run was registered as; empty if it was not.

    Raises RegistryUnavailable if the query fails.
    """
    found = _get("model-versions/search", filter=f"run_id = '{run_id}'", max_results="1")
    versions = (found or {}).get("model_versions") or [None]
    return "" if versions[0] is None else f"{versions[0]['name']} {versions[0]['version']}"


def _get(path: str, **query: str) -> dict[str, Any] | None:
    """Return MLflow's answer; None if it does not have what is asked for."""
    status, body = ask(f"{tracking_address()}/api/2.0/mlflow/{path}?{urlencode(query)}", None)
    if status == HTTPStatus.NOT_FOUND:
        return None
    if status != OK:
        raise RegistryUnavailable(f"MLflow: {why(status, body)}")
    answer: dict[str, Any] = json.loads(body)
    return answer
