"""Old files of this machine: copies of models and of training rows, and closed logs."""

import re
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from mlstack.deployment import DeploymentState
from mlstack.settings import ROOT, Settings
from retention.needed import served_runs
from retention.removed import Removed

_RUN_ID = re.compile(r"([0-9a-f]{32})\b")
_COPIES = (("copies of models", "models"), ("copies of training rows", "references"))


def prune_copies(settings: Settings, now: datetime) -> list[Removed]:
    """Removes old copies of what is in MLflow, but those that serving or a rollback needs.

    Whoever wants one of them after all fetches it anew.

    Args:
        settings: How long they are kept, and where.
        now: With a time zone.

    Raises:
        DeploymentError: what is deployed can not be read, or a deployment is under way.
    """
    days = settings.keep_runs_days
    # No deployment fetches a model meanwhile.
    with DeploymentState(settings.state_path).deploying():
        needed = served_runs(settings)
        removed = []
        for what, folder in _COPIES:
            old = [
                path
                for path in _older(settings.state_path / folder, "*", now, days)
                if (run := _RUN_ID.match(path.name)) and run[1] not in needed
            ]
            locks = [path for path in old if path.suffix == ".lock"]
            freed = sum(map(_remove, old))
            removed.append(Removed(what, len(old) - len(locks), days, freed))
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
