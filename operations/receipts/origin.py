"""Find out where a model comes from, by what MLflow knows of its run."""

from datetime import UTC, datetime
from typing import NamedTuple

from mlflow.exceptions import MlflowException

from mlstack.errors import RegistryUnavailable
from mlstack.model.mlflow_api import (
    DATA_KEY_TAG,
    DATA_TAG,
    REVISION_TAG,
    connect,
    explain,
    find_run,
    run_address,
)

_UNKNOWN = "not known: its run has no such tag"


class Origin(NamedTuple):
    """What a model was made of.

    Args:
        page: Address of its run in MLflow.
        versions: Its versions in the model registry, with their aliases.
        trained_at: When its training ended; None if MLflow does not say.
        table: SHA-256 of the table.
        table_key: Where the feature store keeps it.
        revision: Revision of the code that trained it.
    """

    page: str
    versions: tuple[str, ...]
    trained_at: datetime | None
    table: str
    table_key: str
    revision: str


def find_origin(run_id: str) -> Origin:
    """Ask MLflow for a run. Raises ModelError if it has none, or RegistryUnavailable."""
    run = find_run(run_id)
    try:
        client = connect()
        found = [
            # The search leaves aliases out.
            client.get_model_version(each.name, each.version)
            for each in client.search_model_versions(f"run_id = '{run_id}'")
        ]
    except MlflowException as error:
        raise RegistryUnavailable(f"MLflow: {explain(error)}") from error
    versions = [f"{each.name} {each.version}: {', '.join(each.aliases) or '-'}" for each in found]
    tags, ended = run.data.tags, run.info.end_time
    return Origin(
        run_address(run.info.experiment_id, run_id),
        tuple(versions),
        datetime.fromtimestamp(ended / 1000, UTC) if ended else None,
        tags.get(DATA_TAG, _UNKNOWN),
        tags.get(DATA_KEY_TAG, _UNKNOWN),
        tags.get(REVISION_TAG, _UNKNOWN),
    )
