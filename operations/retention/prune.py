"""Removes what is older than the settings keep it: `make prune`, and the scheduled flow.

Prefect's history is not among it: its own server prunes that (see `docs/operations.md`).
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime

from mlstack.errors import MlstackError
from mlstack.settings import Settings
from operations.maintenance import maintenance
from operations.retention.database import prune_database
from operations.retention.local_files import prune_copies, prune_leftovers, prune_logs
from operations.retention.removed import Removed
from operations.retention.tracking import prune_tracking

_PATIENCE_SECONDS = 3600.0
"""A backup that begins at the same time every night keeps none of them from it."""

_PARTS: tuple[Callable[[Settings, datetime], list[Removed]], ...] = (
    prune_tracking,
    prune_database,
    prune_copies,
    prune_logs,
    prune_leftovers,
)


class PruningFailed(MlstackError):
    """A part could not be pruned; the others were."""


def prune(settings: Settings, say: Callable[[str], object]) -> None:
    """Removes all that is too old; a part that fails does not keep the others from it.

    Args:
        settings: How long things are kept, and where they are.
        say: Is told what was removed, and when something has to be waited for.

    Raises:
        PruningFailed: parts failed; says which way.
        MaintenanceError: a backup or restore is under way for too long.
    """
    failures = []
    now = datetime.now(UTC)
    with maintenance(settings.state_path, _PATIENCE_SECONDS, say):
        for part in _PARTS:
            try:
                removed = part(settings, now)
            except MlstackError as error:
                failures.append(str(error))
                continue
            for each in removed:
                say(str(each))
    if failures:
        raise PruningFailed("; ".join(failures))


def main() -> int:
    """Entry point of `make prune`."""
    try:
        prune(Settings.load(), print)
    except MlstackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - this is a command's answer
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
