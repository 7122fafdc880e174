"""Let only one of pruning, backup and restore run at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlstack.command_line import say
from mlstack.errors import MlstackError


class MaintenanceError(MlstackError):
    """A pruning, a backup or a restore is already running."""


@contextmanager
def maintenance(
    state: Path, patience_seconds: float = 0, say: Callable[[str], object] = say
) -> Iterator[None]:
    """Hold the lock of pruning, backup and restore; wait up to `patience_seconds`.

    `say` gets a line before waiting. Raises MaintenanceError if another one is still running.
    """
    state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / "maintenance.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not patience_seconds:
                raise
            say("waiting for a running prune, backup or restore to finish ...")
            lock.acquire(timeout=patience_seconds)
    except Timeout as error:
        raise MaintenanceError(
            "a prune, backup or restore is running; try again when it has finished"
        ) from error
    try:
        yield
    finally:
        lock.release()
