"""Prune the tables that no run names any more."""

from datetime import datetime

from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException

from mlstack.data.feature_store import FeatureStore
from mlstack.data.kept_tables import NEW, KeptTables, digest_of
from mlstack.data.training_table import current_tables
from mlstack.errors import RegistryUnavailable
from mlstack.model.mlflow_api import DATA_TAG, connect, explain, pages
from mlstack.settings import Settings
from operations.retention.removal import Removal


def prune_tables(settings: Settings, now: datetime) -> list[Removal]:
    """Remove kept tables that no run names, except those that contracts train on now.

    A run in MLflow's trash still counts: it can be restored.

    Raises:
        RegistryUnavailable: MLflow is not set, is unreachable, or rejects a request.
        FeatureStoreError: S3 cannot be reached or rejects a request.
    """
    if not settings.feature_store_bucket:
        return []
    client = connect()
    current = {digest_of(table.path.name) for table in current_tables(settings)}
    try:
        found = pages(client.search_experiments, view_type=ViewType.ALL)
        experiments = [str(experiment.experiment_id) for experiment in found]

        def is_needed(digest: str) -> bool:
            named = f"tags.{DATA_TAG} = '{digest}'"
            return digest in current or bool(
                client.search_runs(experiments, named, ViewType.ALL, max_results=1)
            )

        store = FeatureStore(settings.feature_store_bucket)
        count, freed = KeptTables(settings).remove_unneeded(store, now, is_needed)
    except MlflowException as error:
        raise RegistryUnavailable(f"tables cannot be pruned: {explain(error)}") from error
    return [Removal("tables that no run names", count, NEW.days, freed)]
