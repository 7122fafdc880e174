"""One at a time: whatever goes over all that is stored (pruning, backup, restore)."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlstack.errors import MlstackError


class MaintenanceError(MlstackError):
    """A pruning, a backup or a restore is under way already."""


@contextmanager
def maintenance(state: Path, wait_seconds: float = 0) -> Iterator[None]:
    """Keeps others out that go over all that is stored.

    Args:
        state: The state folder (`Settings.state_path`).
        wait_seconds: How long to wait for one that is under way.

    Raises:
        MaintenanceError: it still is.
    """
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / "maintenance.lock", timeout=wait_seconds):
            yield
    except Timeout as error:
        raise MaintenanceError(
            "a pruning, a backup or a restore is under way; try again when it ends"
        ) from error
