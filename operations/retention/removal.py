"""Find the runs that pruning must keep, and report what it removes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlstack.deployment.record import DeploymentState
from mlstack.settings import Settings

_PATIENCE_SECONDS = 300.0
"""A deployment takes at most a minute, and another may follow."""

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
    """Return runs that are deployed, served, or candidates for a rollback.

    Raises DeploymentError if the deployment record is unreadable; then remove nothing.
    """
    state = DeploymentState(settings.state_path)
    record = state.record()
    runs = {record.run_id if record else ""}
    runs |= {statement.run_id or "" for statement in state.statements()}
    runs |= set(state.deployed_runs()[-(settings.keep_deployed_models + 1) :])
    return runs - {""}


@contextmanager
def deployments_paused(settings: Settings) -> Iterator[set[str]]:
    """Block deployments while one run is removed; yield the runs in use.

    Raises DeploymentError as `runs_in_use` does, or if deployments take too long.
    """
    with DeploymentState(settings.state_path).lock(_PATIENCE_SECONDS):
        yield runs_in_use(settings)
    # Let waiting deployments take the lock.
    time.sleep(_PAUSE_SECONDS)
