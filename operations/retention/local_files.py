"""Old files of this machine: copies of models and of training rows, closed logs, leftovers."""

import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from mlstack.deployment.deployment import DeploymentState
from mlstack.settings import ROOT, Settings
from operations.retention.needed import between_deployments
from operations.retention.removed import Removed

_RUN_ID = re.compile(r"([0-9a-f]{32})\b")
_COPIES = (("copies of models", "models"), ("copies of training rows", "references"))


def prune_copies(settings: Settings, now: datetime) -> list[Removed]:
    """Removes old copies of what is in MLflow, but those that serving or a rollback needs.

    Whoever wants one of them after all fetches it anew.

    Args:
        settings: How long they are kept, and where.
        now: With a time zone.

    Raises:
        DeploymentError: what is deployed cannot be read, or deployments take too long.
    """
    days = settings.keep_runs_days
    removed = []
    for what, folder in _COPIES:
        count = freed = 0
        for path in _older(settings.state_path / folder, "*", now, days):
            if (run := _RUN_ID.match(path.name)) is None:
                continue
            # No deployment fetches it meanwhile.
            with between_deployments(settings) as needed:
                if run[1] not in needed:
                    freed += _remove(path)
                    count += path.suffix != ".lock"
        removed.append(Removed(what, count, days, freed))
    return removed


def prune_logs(settings: Settings, now: datetime) -> list[Removed]:
    """Removes old log files that are written to no more; they carry a number at the end.

    Args:
        settings: How long they are kept, and where.
        now: With a time zone.
    """
    if settings.logs_dir is None:
        return []
    days = settings.keep_logs_days
    old = _older(ROOT / settings.logs_dir, "*.log.[0-9]*", now, days)
    return [Removed("closed log files", len(old), days, sum(map(_remove, old)))]


def prune_leftovers(settings: Settings, now: datetime) -> list[Removed]:
    """Removes what servers and simulators that were killed have left in the state folder.

    A container that is made anew has another name, and takes nothing of it over.

    Args:
        settings: How long it is kept, and where.
        now: With a time zone.
    """
    state, days = settings.state_path, settings.keep_logs_days
    signs = [
        path
        for folder in ("stream", "simulation")
        for path in _older(state / folder, "heartbeat-*", now, days)
    ]
    # Whoever lives renews its sign of life; the age of counts only says when they began.
    hosts = {each.worker.rpartition("-")[0] for each in DeploymentState(state).statements()}
    counts = [
        folder
        for folder in _older(state / "metrics", "*", now, days)
        if not any(f"-{host}-" in folder.name for host in hosts)
    ]
    old = [*signs, *counts]
    return [
        Removed("leftovers of servers that were killed", len(old), days, sum(map(_remove, old)))
    ]


def _older(folder: Path, pattern: str, now: datetime, days: float) -> list[Path]:
    limit = (now - timedelta(days=days)).timestamp()
    return [path for path in sorted(folder.glob(pattern)) if path.stat().st_mtime < limit]


def _remove(path: Path) -> int:
    """Removes a file or folder; returns its bytes."""
    if not path.is_dir():
        size = path.stat().st_size
        path.unlink()
        return size
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    shutil.rmtree(path)
    return size
