"""Remove data beyond its retention period: `make prune`, and the scheduled flow.

Prefect prunes its own history (see `docs/operations.md`).
"""

from collections.abc import Callable
from datetime import UTC, datetime

from mlstack import command_line
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from model_orchestration.model_card.publish import publish_cards
from operations.maintenance import maintenance
from operations.retention.database import prune_database
from operations.retention.local_files import (
    prune_copies,
    prune_leftovers,
    prune_logs,
    prune_quarantine,
)
from operations.retention.removal import Removal
from operations.retention.tables import prune_tables
from operations.retention.tracking import prune_tracking

_PATIENCE_SECONDS = 3600.0
"""Time to wait for a nightly backup."""


def _prune_cards(settings: Settings, _: datetime) -> list[Removal]:
    """Remove the pages of cards whose version is gone, and bring back those that are missing."""
    return [Removal("model cards' pages", publish_cards(settings), settings.keep_runs_days)]


_PARTS: tuple[Callable[[Settings, datetime], list[Removal]], ...] = (
    prune_tracking,
    prune_tables,
    _prune_cards,
    prune_database,
    prune_copies,
    prune_logs,
    prune_leftovers,
    prune_quarantine,
)


class PruningFailed(MlstackError):
    """Parts could not be pruned; the others were."""


def prune(settings: Settings, say: Callable[[str], object]) -> None:
    """Remove everything that is too old; a failing part does not stop the others.

    `say` gets a line for each removal, and one before waiting for the lock.

    Raises:
        PruningFailed: parts failed; with the reasons.
        MaintenanceError: a backup or restore takes too long.
    """
    failures = []
    now = datetime.now(UTC)
    with maintenance(settings.state_path, _PATIENCE_SECONDS, say):
        for part in _PARTS:
            try:
                for removal in part(settings, now):
                    say(str(removal))
            except MlstackError as error:
                failures.append(str(error))
    if failures:
        raise PruningFailed("; ".join(failures))


if __name__ == "__main__":
    command_line.run(lambda: prune(Settings.load(), command_line.say))
