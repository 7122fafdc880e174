"""Which runs are needed, however old they are."""

from mlflow import MlflowClient

from mlstack.deployment import DeploymentState
from mlstack.settings import Settings


def served_runs(settings: Settings) -> set[str]:
    """Runs that are deployed, served, decided on, or that a rollback would go back to.

    Raises:
        DeploymentError: the deployment record can not be read: nobody knows.
    """
    state = DeploymentState(settings.state_path)
    record = state.record()
    runs = {settings.run_id, record.run_id if record else ""}
    runs |= {statement.run_id or "" for statement in state.statements()}
    runs |= set(state.came_into_service()[-(settings.keep_deployed_models + 1) :])
    return runs - {""}


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
