"""Old searches in MLflow: registered versions, models, runs, and then their space.

MLflow deletes in two steps, and so do we. What is too old goes into MLflow's trash, from
where people can still restore it; what has been there for a while is removed for good by
`mlflow gc`, which needs the tracking server's database beside its address.
"""

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, LoggedModel, Run, ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlstack.errors import MlstackError, RegistryUnavailable, SettingsError
from mlstack.model.mlflow_runs import PARENT_TAG, SEARCH_TAG
from mlstack.settings import ROOT, Settings
from operations.retention.needed import between_deployments, registered_runs, served_runs
from operations.retention.removed import Removed

_GC_SECONDS = 3600
_TAIL_LINES = 5


class TrackingStoreError(MlstackError):
    """MLflow's database or its artifacts cannot be pruned."""


def prune_tracking(settings: Settings, now: datetime) -> list[Removed]:
    """Removes old searches from MLflow.

    A search is a parent run with the runs of its trials. A run that is needed stays, and its
    parent, which carries the rows that it was trained on, with it; the other trials of that
    search go. Runs that people have made by hand are theirs, and stay.

    Args:
        settings: How long runs are kept, and where MLflow is.
        now: With a time zone.

    Raises:
        SettingsError: no tracking server is set.
        RegistryUnavailable: it cannot be reached, or refuses.
        DeploymentError: what is deployed cannot be read, or deployments take too long.
        TrackingStoreError: `mlflow gc` fails.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise SettingsError("MLFLOW_TRACKING_URI is not set: there is no MLflow to prune")
    try:
        thrown_away = _throw_away(settings, now)
    except MlflowException as error:
        raise RegistryUnavailable(f"MLflow cannot be pruned: {error}") from error
    return [*thrown_away, *_empty_trash(settings, now)]


def _throw_away(settings: Settings, now: datetime) -> list[Removed]:
    client, before = MlflowClient(), _milliseconds(now, settings.keep_runs_days)
    old = {str(run.info.run_id): run for run in _old_runs(client, before)}
    kept = _keep_needed(settings, client)
    going = {run_id: run for run_id, run in old.items() if run_id not in kept}
    trials = defaultdict[str, set[str]](set)
    for run_id, run in going.items():
        trials[run.data.tags.get(PARENT_TAG, "")].add(run_id)
    versions = defaultdict[str, list[ModelVersion]](list)
    for version in _pages(client.search_model_versions):
        if version.run_id in going and not version.aliases:
            versions[version.run_id].append(version)
    thrown = []
    for run_id in going:
        with between_deployments(settings) as needed:
            # One of them may have been deployed meanwhile.
            if needed & {run_id, *trials[run_id]}:
                continue
            # Whatever stops this half-way, the next time finds the rest by its run.
            for version in versions[run_id]:
                client.delete_model_version(version.name, version.version)
            client.delete_run(run_id)
        thrown.append(run_id)
    days = settings.keep_runs_days
    return [
        Removed("MLflow: registered versions", sum(len(versions[each]) for each in thrown), days),
        Removed("MLflow: runs, into the trash", len(thrown), days),
    ]


def _keep_needed(settings: Settings, client: MlflowClient) -> set[str]:
    """Returns what stays whatever its age; what people have deleted of it comes back."""
    found = list(_found(client, served_runs(settings) | registered_runs(client)))
    parents = {run.data.tags[PARENT_TAG] for run in found if PARENT_TAG in run.data.tags}
    found += _found(client, parents)
    for run in found:
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            client.restore_run(run.info.run_id)
    return {str(run.info.run_id) for run in found}


def _throw_away_models(settings: Settings, now: datetime) -> int:
    """Models whose run is gone for good; MLflow cannot restore one, so it goes after its run."""
    client, before = MlflowClient(), _milliseconds(now, settings.keep_deleted_days)
    needed = served_runs(settings) | registered_runs(client)
    # Models first: a run that begins after that has none among them.
    models: list[LoggedModel] = [
        model
        for experiment in _experiments(client)
        for model in _pages(
            client.search_logged_models,
            experiment_ids=[experiment],
            filter_string=f"creation_timestamp < {before}",
        )
    ]
    runs = {
        run.info.run_id
        for experiment in _experiments(client)
        for run in _pages(
            client.search_runs,
            experiment_ids=[experiment],
            run_view_type=ViewType.ALL,
        )
    }
    without_run = [
        model
        for model in models
        if model.source_run_id and model.source_run_id not in runs | needed
    ]
    for model in without_run:
        client.delete_logged_model(model.model_id)
    return len(without_run)


def _experiments(client: MlflowClient) -> list[str]:
    return [str(found.experiment_id) for found in _pages(client.search_experiments)]


def _old_runs(client: MlflowClient, before: int) -> Iterator[Run]:
    """Runs of searches."""
    ended = f"attributes.end_time < {before} and tags.{SEARCH_TAG} LIKE '%'"
    for experiment in _experiments(client):
        yield from _pages(client.search_runs, experiment_ids=[experiment], filter_string=ended)


def _found(client: MlflowClient, run_ids: set[str]) -> Iterator[Run]:
    """Runs by id; what MLflow does not know any more has nothing to protect."""
    for run_id in run_ids:
        try:
            yield client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def _pages(search: Callable[..., Any], **arguments: Any) -> Iterator[Any]:
    """Everything that a search of MLflow's finds, page by page."""
    token: str | None = None
    while True:
        page = search(page_token=token, **arguments)
        yield from page
        token = page.token
        if not token:
            return


def _empty_trash(settings: Settings, now: datetime) -> list[Removed]:
    if not settings.mlflow_backend_store_uri:
        return []
    artifacts = _local_folder(settings.mlflow_artifacts_destination)
    before = _size(artifacts)
    removed = _collect_garbage(settings)
    models = _throw_away_models(settings, now)
    if models and not settings.keep_deleted_days:
        removed += _collect_garbage(settings)
    if artifacts is not None:
        _remove_empty_folders(artifacts, now - timedelta(days=1))
    freed = before - _size(artifacts) if artifacts is not None else None
    days = settings.keep_deleted_days
    return [
        Removed("MLflow: models without a run, into the trash", models, days),
        Removed("MLflow: trash, with its artifacts", removed, days, freed),
    ]


def _collect_garbage(settings: Settings) -> int:
    """Empties MLflow's trash of what has been there for a while; returns of how much."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mlflow", "gc"),
            *("--backend-store-uri", settings.mlflow_backend_store_uri),
            *("--older-than", f"{settings.keep_deleted_days:f}d"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=_GC_SECONDS,
        check=False,
    )
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-_TAIL_LINES:])
        raise TrackingStoreError(f"mlflow gc has failed:\n{tail}")
    return done.stdout.count("has been permanently deleted")


def _milliseconds(now: datetime, days_before: float) -> int:
    return int((now - timedelta(days=days_before)).timestamp() * 1000)


def _local_folder(destination: str) -> Path | None:
    """Where artifacts are, when it is on this machine."""
    path = ROOT / destination
    return path if destination and "://" not in destination and path.is_dir() else None


def _size(folder: Path | None) -> int:
    return 0 if folder is None else sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


def _remove_empty_folders(folder: Path, before: datetime) -> None:
    """Removes what MLflow leaves of the runs and models that it has emptied.

    Args:
        folder: Of all artifacts.
        before: Younger ones may be about to be filled.
    """
    for where, _, _ in os.walk(folder, topdown=False):
        path = Path(where)
        if path != folder and path.stat().st_mtime < before.timestamp() and not any(path.iterdir()):
            path.rmdir()
