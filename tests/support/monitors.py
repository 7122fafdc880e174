"""The monitoring service's state without its threads."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from mlstack.deployment.record import DeploymentState
from mlstack.quality.drift_history import HistoryStore
from monitoring.evidently_service.alert_history import Fired
from monitoring.evidently_service.history import History
from monitoring.evidently_service.monitor import Monitor, State
from monitoring.evidently_service.watch import Watch


def never_answered() -> Watch[Fired]:
    """Return a question to Prometheus that was not asked yet."""
    return Watch("fired alerts", dict)


def monitor_in(state: State, rows: int, **more: Any) -> Monitor:
    """Return what pages and metrics read of a monitor in this state."""
    fields = {
        "state": state,
        "window": range(rows),
        "age_seconds": 0,
        "storage_fault": "",
        "taken": rows,
        "refused": 0,
        "failures": 0,
        "history": History(cast("HistoryStore", None)),  # nobody asks MongoDB
        "deployment": DeploymentState(Path("/nonexistent")),
        "fired": never_answered(),
    }
    return cast("Monitor", SimpleNamespace(**{**fields, **more}))
