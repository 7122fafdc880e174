"""Prune old searches in MLflow: registered versions, models, runs and artifacts.

MLflow deletes in two steps. Old runs go into its trash, from which users can restore them. `mlflow
gc`, which needs the tracking server's database, then removes what has been in the trash long
enough.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from mlstack.errors import MlstackError, RegistryUnavailable
from mlstack.model.mlflow_api import NOT_FOUND, PARENT_TAG, SEARCH_TAG, connect, explain, pages
from mlstack.settings import ROOT, Settings
from operations.retention.needed_runs import restore_needed
from operations.retention.removal import Removal, deployments_paused


class TrackingStoreError(MlstackError):
    """MLflow's database or its artifacts cannot be pruned."""


def prune_tracking(settings: Settings, now: datetime) -> list[Removal]:
    """Remove old searches from MLflow.

    A search is a parent run with a child run per trial. A needed run stays, and so does its parent,
    which has the training rows; the other trials are removed. Runs that users created stay.

    Raises:
        RegistryUnavailable: MLflow is not set, is unreachable, or rejects a request.
        DeploymentError: the deployment record is unreadable, or deployments take too long.
        TrackingStoreError: MLflow's database cannot be read.
    """
    try:
        return [*_trash_runs(settings, now), *_empty_trash(settings, now)]
    except MlflowException as error:
        raise RegistryUnavailable(f"MLflow cannot be pruned: {explain(error)}") from error
    except SQLAlchemyError as error:
        raise TrackingStoreError(f"MLflow's database cannot be read: {error}") from error


def _trash_runs(settings: Settings, now: datetime) -> list[Removal]:
    client, before = connect(), _milliseconds(now, settings.keep_runs_days)
    ended = f"attributes.end_time < {before} and tags.{SEARCH_TAG} LIKE '%'"
    runs = _find(client, client.search_runs, filter_string=ended)
    old: dict[str, Run] = {str(run.info.run_id): run for run in runs}
    needed = restore_needed(settings, client)
    unneeded = {run_id: run for run_id, run in old.items() if run_id not in needed}
    trials = defaultdict[str, set[str]](set)
    for run_id, run in unneeded.items():
        trials[run.data.tags.get(PARENT_TAG, "")].add(run_id)
    versions = defaultdict[str, list[ModelVersion]](list)
    for version in pages(client.search_model_versions):
        if version.run_id in unneeded and not version.aliases:
            versions[version.run_id].append(version)
    trashed = []
    for run_id in unneeded:
        with deployments_paused(settings) as in_use:
            # It, or one of its trials, may have been deployed in the meantime.
            if in_use & {run_id, *trials[run_id]}:
                continue
            # The run goes last, so that an interrupted pruning can be completed by the next one.
            for version in versions[run_id]:
                _ignore_absent(client.delete_model_version, version.name, version.version)
            _ignore_absent(client.delete_run, run_id)
        trashed.append(run_id)
    days = settings.keep_runs_days
    return [
        Removal("MLflow: registered versions", sum(len(versions[each]) for each in trashed), days),
        Removal("MLflow: runs, into the trash", len(trashed), days),
    ]


def _trash_models(settings: Settings, now: datetime) -> int:
    """Delete models whose run was permanently deleted; return their number.

    MLflow cannot restore a model, so it goes after its run.
    """
    client, before = connect(), _milliseconds(now, settings.keep_deleted_days)
    needed = restore_needed(settings, client)
    # List models before runs: then no listed model belongs to a run that starts in between.
    created = f"creation_timestamp < {before}"
    models = list(_find(client, client.search_logged_models, filter_string=created))
    runs = needed | {
        run.info.run_id for run in _find(client, client.search_runs, run_view_type=ViewType.ALL)
    }
    without_run = [
        model for model in models if model.source_run_id and model.source_run_id not in runs
    ]
    for model in without_run:
        client.delete_logged_model(model.model_id)
    return len(without_run)


def _ignore_absent(delete: Callable[..., object], *arguments: object) -> None:
    """Delete something that somebody else may just have deleted."""
    try:
        delete(*arguments)
    except MlflowException as error:
        if error.error_code != NOT_FOUND:
            raise


def _find(client: MlflowClient, search: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
    """Search in each experiment."""
    experiments = [found.experiment_id for found in pages(client.search_experiments)]
    for experiment in experiments:
        yield from pages(search, experiment_ids=[experiment], **arguments)


def _empty_trash(settings: Settings, now: datetime) -> list[Removal]:
    if not settings.mlflow_backend_store_uri:
        return []
    artifacts = _local_folder(settings.mlflow_artifacts_destination)
    before = _size(artifacts)
    # Once more, because deployments and people's deletions go on meanwhile.
    restore_needed(settings, connect())
    removed = _collect_garbage(settings)
    models = _trash_models(settings, now)
    if models and not settings.keep_deleted_days:
        removed += _collect_garbage(settings)
    if artifacts is not None:
        _remove_empty_folders(artifacts, now - timedelta(days=1))
    freed = before - _size(artifacts) if artifacts is not None else None
    days = settings.keep_deleted_days
    return [
        Removal("MLflow: models without a run, into the trash", models, days),
        Removal("MLflow: trash, with its artifacts", removed, days, freed),
    ]


def _collect_garbage(settings: Settings) -> int:
    """Permanently delete old items in MLflow's trash; return their number."""
    # In this process: starting another one would take longer than the work.
    from mlflow.cli import gc  # noqa: PLC0415 - takes seconds to import

    options = {
        "--backend-store-uri": settings.mlflow_backend_store_uri,
        "--older-than": f"{settings.keep_deleted_days:f}d",
        # Empty for that of the environment; an address would be set for this whole process.
        "--tracking-uri": "",
    }
    words = [word for option in options.items() for word in option]
    with redirect_stdout(StringIO()) as output:
        gc.main(words, prog_name="mlflow gc", standalone_mode=False)
    return output.getvalue().count("has been permanently deleted")


def _milliseconds(now: datetime, days_before: float) -> int:
    return int((now - timedelta(days=days_before)).timestamp() * 1000)


def _local_folder(destination: str) -> Path | None:
    """Return the local folder of artifacts; None if they are elsewhere."""
    path = ROOT / destination
    return path if destination and "://" not in destination and path.is_dir() else None


def _size(folder: Path | None) -> int:
    return 0 if folder is None else sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _remove_empty_folders(folder: Path, before: datetime) -> None:
    """Remove old empty folders of MLflow's experiments; new ones may soon be filled."""
    for where, _, _ in os.walk(folder, topdown=False):
        path = Path(where)
        experiment = path.relative_to(folder).parts[:1]
        if (
            experiment
            and experiment[0].isdecimal()
            and path.stat().st_mtime < before.timestamp()
            and not any(path.iterdir())
        ):
            path.rmdir()
