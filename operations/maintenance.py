"""One at a time: whatever goes over all that is stored (pruning, backup, restore)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlstack.errors import MlstackError


class MaintenanceError(MlstackError):
    """A pruning, a backup or a restore is under way already."""


@contextmanager
def maintenance(
    state: Path, patience_seconds: float = 0, say: Callable[[str], object] = print
) -> Iterator[None]:
    """Keeps others out that go over all that is stored.

    Args:
        state: The state folder (`Settings.state_path`).
        patience_seconds: How long to wait for one that is under way.
        say: Is told before waiting for it.

    Raises:
        MaintenanceError: it still is.
    """
    state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(state / "maintenance.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not patience_seconds:
                raise
            say("waiting for a pruning, a backup or a restore that is under way to end ...")
            lock.acquire(timeout=patience_seconds)
    except Timeout as error:
        raise MaintenanceError(
            "a pruning, a backup or a restore is under way; try again when it ends"
        ) from error
    try:
        yield
    finally:
        lock.release()
