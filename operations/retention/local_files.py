"""Prune local files: copies of models and training rows, closed logs, leftovers."""

import re
import shutil
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from mlstack.deployment.record import DeploymentState
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.settings import ROOT, Settings
from operations.retention.removal import Removal, deployments_paused

# The settings may name folders that others use, too: only files with these names are the stack's.
_RUN = "([0-9a-f]{32})"
_COPIES = (
    ("copies of models", "models", re.compile(rf"{_RUN}(\.(new|ready|lock))?")),
    ("copies of training rows", "references", re.compile(rf"{_RUN}(\.lock|-[0-9a-f]{{64}}\.\w+)")),
)


def prune_copies(settings: Settings, now: datetime) -> list[Removal]:
    """Remove old copies of MLflow data, except those needed to serve or roll back.

    A removed copy is downloaded again when needed. Raises DeploymentError if the deployment record
    is unreadable, or deployments take too long.
    """
    days = settings.keep_runs_days
    removed = []
    for what, folder, named in _COPIES:
        count = freed = 0
        for path in _older(settings.state_path / folder, "*", now, days):
            if (run := named.fullmatch(path.name)) is None:
                continue
            with deployments_paused(settings) as in_use:
                if run[1] not in in_use:
                    freed += _remove(path)
                    count += path.suffix != ".lock"
        removed.append(Removal(what, count, days, freed))
    return removed


def prune_logs(settings: Settings, now: datetime) -> list[Removal]:
    """Remove old closed log files, whose names end in a number."""
    if settings.logs_dir is None:
        return []
    # Containers, whose images lack psutil, have no such folder.
    from operations.embedded import supervisord  # noqa: PLC0415 - see above
    from operations.embedded.services import all_services  # noqa: PLC0415 - see above

    folder, days = ROOT / settings.logs_dir, settings.keep_logs_days
    if not (folder / f"{supervisord.NAME}.log").is_file():
        return []
    names = "|".join((supervisord.NAME, *(service.name for service in all_services(settings))))
    own = re.compile(rf"({names})\.log\.[0-9]+")
    old = [path for path in _older(folder, "*.log.*", now, days) if own.fullmatch(path.name)]
    return [Removal("closed log files", len(old), days, sum(map(_remove, old)))]


def prune_quarantine(settings: Settings, now: datetime) -> list[Removal]:
    """Remove entries that have been in quarantine for too long. Raises QuarantineError."""
    days = settings.keep_quarantine_days
    count = Quarantine(settings.quarantine_path).remove_before(now - timedelta(days=days))
    return [Removal("entries in quarantine", count, days)]


def prune_leftovers(settings: Settings, now: datetime) -> list[Removal]:
    """Remove what killed servers, simulators and scorings left in the state folder.

    A new container has another name, so it does not reuse what the last one left.
    """
    state, days = settings.state_path, settings.keep_logs_days
    heartbeats = [
        path
        for folder in ("stream", "simulation")
        for path in _older(state / folder, "heartbeat-*", now, days)
    ]
    # Live servers renew their heartbeat, but the age of their counts only tells when they started.
    hosts = {each.worker.rpartition("-")[0] for each in DeploymentState(state).statements()}
    counts = [
        folder
        for folder in _older(state / "metrics", "predict-api-*", now, days)
        if not any(f"-{host}-" in folder.name for host in hosts)
    ]
    # Of make score in containers, which nobody has started again.
    scorings = _older(state / "scoring", "*", now, days)
    old = [*heartbeats, *counts, *scorings]
    return [
        Removal("leftovers of servers that were killed", len(old), days, sum(map(_remove, old)))
    ]


def _older(folder: Path, pattern: str, now: datetime, days: float) -> list[Path]:
    limit = (now - timedelta(days=days)).timestamp()
    old = []
    for path in sorted(folder.glob(pattern)):
        # A running process may just have renamed or removed it.
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < limit:
                old.append(path)
    return old


def _remove(path: Path) -> int:
    """Remove a file or folder and return its size in bytes."""
    if not path.is_dir():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(path)
    return size
