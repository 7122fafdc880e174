"""What every part of pruning shares: which runs must stay, and how removals are reported."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mlstack.deployment.record import DeploymentState
from mlstack.settings import Settings

_PATIENCE_SECONDS = 300.0
"""A deployment takes a minute at most, and another can follow."""

_PAUSE_SECONDS = 0.1
"""Who waits for a lock asks for it twice in this time."""


@dataclass(frozen=True, slots=True)
class Removal:
    """How much of one kind of thing was removed.

    Args:
        what: The kind, in the plural.
        count: How many were removed.
        kept_days: The age from which they are removed.
        freed: Bytes freed on disk; None: not known.
    """

    what: str
    count: int
    kept_days: float
    freed: int | None = None

    def __str__(self) -> str:
        size = f", {self.freed / 1e6:,.1f} MB" if self.freed is not None else ""
        return f"{self.what:<44} {self.count:>8,} removed{size} (kept {self.kept_days:g} days)"


def runs_in_use(settings: Settings) -> set[str]:
    """Return runs that are deployed, served, or that a rollback would go back to.

    Raises:
        DeploymentError: the deployment record cannot be read, so nothing may be removed.
    """
    state = DeploymentState(settings.state_path)
    record = state.record()
    runs = {record.run_id if record else ""}
    runs |= {statement.run_id or "" for statement in state.statements()}
    runs |= set(state.deployed_runs()[-(settings.keep_deployed_models + 1) :])
    return runs - {""}


@contextmanager
def deployments_paused(settings: Settings) -> Iterator[set[str]]:
    """Keep deployments waiting, for as long as removing one run takes; yield the runs in use.

    Raises:
        DeploymentError: as `runs_in_use`, or deployments take too long.
    """
    with DeploymentState(settings.state_path).lock(_PATIENCE_SECONDS):
        yield runs_in_use(settings)
    # Waiting deployments get their turn.
    time.sleep(_PAUSE_SECONDS)
