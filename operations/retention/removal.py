"""Find the runs that pruning must keep, and report what it removes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mlstack.deployment.record import DeploymentState
from mlstack.settings import Settings

_PATIENCE_SECONDS = 300.0
"""A deployment takes at most a minute, and another may follow."""

_LONGEST_SCORING = timedelta(days=1)
"""`make score` goes on with the run that was deployed when it began."""

_PAUSE_SECONDS = 0.1
"""Waiting processes poll the lock twice in this time."""


@dataclass(frozen=True, slots=True)
class Removal:
    """The removed items of one kind.

    Args:
        what: The kind, in the plural.
        count: Number of removed items.
        kept_days: The retention period.
        freed: Bytes freed on disk; None if unknown.
    """

    what: str
    count: int
    kept_days: float
    freed: int | None = None

    def __str__(self) -> str:
        size = f", {self.freed / 1e6:,.1f} MB" if self.freed is not None else ""
        return f"{self.what:<44} {self.count:>8,} removed{size} (kept {self.kept_days:g} days)"


def runs_in_use(settings: Settings) -> set[str]:
    """Return runs that are deployed, served, candidates for a rollback, or made kept predictions.

    Raises DeploymentError if the deployment record is unreadable; then remove nothing.
    """
    state = DeploymentState(settings.state_path)
    record = state.record()
    runs = {record.run_id if record else ""}
    runs |= {statement.run_id or "" for statement in state.statements()}
    runs |= set(state.deployed_runs()[-(settings.keep_deployed_models + 1) :])
    return (runs | _runs_of_kept_predictions(settings, state)) - {""}


def _runs_of_kept_predictions(settings: Settings, state: DeploymentState) -> set[str]:
    """Return the runs that kept predictions may name: they were deployed when these were made.

    Workers may have served a run even if its deployment failed. Asking MongoDB instead would read
    every prediction.
    """
    days = max(settings.keep_predictions_days, settings.keep_quarantine_days)
    begin = datetime.now(UTC) - timedelta(days=days) - _LONGEST_SCORING
    entries = [entry for entry in state.history() if entry.at >= begin]
    # What a deployment replaced had served until then.
    return {run for entry in entries for run in (entry.from_run_id or "", entry.to_run_id)}


@contextmanager
def deployments_paused(settings: Settings) -> Iterator[set[str]]:
    """Block deployments while one run is removed; yield the runs in use.

    Raises DeploymentError as `runs_in_use` does, or if deployments take too long.
    """
    with DeploymentState(settings.state_path).lock(_PATIENCE_SECONDS):
        yield runs_in_use(settings)
    # Let waiting deployments take the lock.
    time.sleep(_PAUSE_SECONDS)
