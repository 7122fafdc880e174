"""Look up what pages link to, without importing MLflow, which takes seconds and memory."""

import json
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlencode

from mlstack.errors import RegistryUnavailable
from mlstack.model.card_names import CARD_TAG, card_name
from mlstack.model.mlflow_api import tracking_address
from mlstack.probes import OK, ask, why


def find_experiment(name: str, run_id: str | None = None) -> str:
    """Return the id of a run's experiment, else of the one of that name; empty without either.

    Raises RegistryUnavailable if the query fails.
    """
    if run_id and (run := _get("runs/get", run_id=run_id)):
        return str(run["run"]["info"]["experiment_id"])
    found = _get("experiments/get-by-name", experiment_name=name)
    return str(found["experiment"]["experiment_id"]) if found else ""


class Version(NamedTuple):
    """A registered version: name with number, and its model card's page or an empty text."""

    title: str
    card: str


def find_version(run_id: str) -> Version | None:
    """Return the version that a run was registered as; None if it was not.

    Raises RegistryUnavailable if the query fails.
    """
    found = _get("model-versions/search", filter=f"run_id = '{run_id}'", max_results="1")
    version = next(iter((found or {}).get("model_versions", [])), None)
    if version is None:
        return None
    has_card = any(tag["key"] == CARD_TAG for tag in version.get("tags", []))
    return Version(f"{version['name']} {version['version']}", card_name(run_id) if has_card else "")


def _get(path: str, **query: str) -> dict[str, Any] | None:
    """Return MLflow's answer; None if it does not have what is asked for."""
    status, body = ask(f"{tracking_address()}/api/2.0/mlflow/{path}?{urlencode(query)}", None)
    if status == HTTPStatus.NOT_FOUND:
        return None
    if status != OK:
        raise RegistryUnavailable(f"MLflow: {why(status, body)}")
    answer: dict[str, Any] = json.loads(body)
    return answer
