"""Which runs are needed, however old they are."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlflow import MlflowClient

from mlstack.deployment.deployment import DeploymentState
from mlstack.settings import Settings

_PATIENCE_SECONDS = 300.0
"""Deployments take a minute at most, and another can follow."""

_PAUSE_SECONDS = 0.1
"""Who waits for a lock asks for it twice in this time."""


def served_runs(settings: Settings) -> set[str]:
    """Runs that are deployed, served, or that a rollback would go back to.

    Raises:
        DeploymentError: the deployment record cannot be read: nobody knows.
    """
    state = DeploymentState(settings.state_path)
    record = state.record()
    runs = {record.run_id if record else ""}
    runs |= {statement.run_id or "" for statement in state.statements()}
    runs |= set(state.came_into_service()[-(settings.keep_deployed_models + 1) :])
    return runs - {""}


@contextmanager
def between_deployments(settings: Settings) -> Iterator[set[str]]:
    """Keeps deployments waiting, and says what they need; for a moment, such as one run takes.

    Raises:
        DeploymentError: as `served_runs`, or deployments are under way for too long.
    """
    with DeploymentState(settings.state_path).deploying(_PATIENCE_SECONDS):
        yield served_runs(settings)
    # Those that wait get their turn.
    time.sleep(_PAUSE_SECONDS)


def registered_runs(client: MlflowClient) -> set[str]:
    """Runs whose model's version has an alias in the registry. Raises MlflowException."""
    runs: set[str] = set()
    token: str | None = None
    while True:
        page = client.search_registered_models(page_token=token)
        for model in page:
            for version in set(model.aliases.values()):
                runs.add(str(client.get_model_version(model.name, str(version)).run_id))
        token = page.token
        if not token:
            return runs
