"""Protect the runs that pruning must keep, whatever people have deleted in MLflow.

MLflow marks a deleted experiment and all of its runs; `mlflow gc` then erases the experiment with
every run in it. So a needed run is safe only when its experiment and its model are restored too.
"""

from collections.abc import Iterator

import sqlalchemy
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run, ViewType
from mlflow.exceptions import MlflowException

from mlstack.model.mlflow_api import NOT_FOUND, find_search, pages
from mlstack.run_ids import is_run_id
from mlstack.settings import Settings
from operations.retention.removal import runs_in_use

_MODELS = sqlalchemy.table(
    "logged_models", sqlalchemy.column("lifecycle_stage"), sqlalchemy.column("source_run_id")
)


def restore_needed(settings: Settings, client: MlflowClient) -> set[str]:
    """Return runs that stay regardless of age; restore those that people have deleted.

    These are the runs in use, those with an alias in the model registry, and their searches.
    """
    needed = list(_find_runs(client, runs_in_use(settings) | _aliased_runs(client)))
    needed += _find_runs(client, {find_search(run) for run in needed})
    run_ids = {str(run.info.run_id) for run in needed}
    for experiment_id in {run.info.experiment_id for run in needed}:
        if client.get_experiment(experiment_id).lifecycle_stage == LifecycleStage.DELETED:
            _restore_experiment(client, experiment_id, run_ids)
    for run in needed:
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_run(run.info.run_id)
    _restore_models(settings, run_ids)
    return run_ids


def _aliased_runs(client: MlflowClient) -> set[str]:
    """Return runs whose model version has an alias in the registry."""
    runs = set()
    for model in pages(client.search_registered_models):
        for version in set(model.aliases.values()):
            try:
                runs.add(str(client.get_model_version(model.name, str(version)).run_id))
            except MlflowException as error:
                # Somebody has just deleted the version, and its aliases with it.
                if error.error_code != NOT_FOUND:
                    raise
    return runs


def _find_runs(client: MlflowClient, run_ids: set[str]) -> Iterator[Run]:
    """Yield runs by id, skipping those that MLflow does not know.

    People can type any text into a tag, and a version may have no run.
    """
    for run_id in filter(is_run_id, run_ids):
        try:
            yield client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != NOT_FOUND:
                raise


def _restore_experiment(client: MlflowClient, experiment_id: str, needed: set[str]) -> None:
    """Restore an experiment for its needed runs; the others stay in the trash."""
    deleted = list(
        pages(
            client.search_runs,
            experiment_ids=[experiment_id],
            run_view_type=ViewType.DELETED_ONLY,
        )
    )
    client.restore_experiment(experiment_id)
    for run in deleted:
        if run.info.run_id not in needed:
            client.delete_run(run.info.run_id)


def _restore_models(settings: Settings, run_ids: set[str]) -> None:
    """Restore deleted models of runs in MLflow's database, because its API cannot.

    Without the database there is no `mlflow gc` either, so nothing is erased.
    """
    if not settings.mlflow_backend_store_uri or not run_ids:
        return
    deleted = sqlalchemy.and_(
        _MODELS.c.lifecycle_stage == LifecycleStage.DELETED, _MODELS.c.source_run_id.in_(run_ids)
    )
    engine = sqlalchemy.create_engine(settings.mlflow_backend_store_uri)
    try:
        with engine.begin() as connection:
            connection.execute(
                sqlalchemy.update(_MODELS)
                .where(deleted)
                .values(lifecycle_stage=LifecycleStage.ACTIVE)
            )
    finally:
        engine.dispose()
