"""One at a time: whatever removes what is stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mlstack.errors import MlstackError


class MaintenanceError(MlstackError):
    """A pruning is under way already."""


@contextmanager
def maintenance(state: Path) -> Iterator[None]:
    """Keeps others out that remove what is stored.

    Args:
        state: The state folder (`Settings.state_path`).

    Raises:
        MaintenanceError: one is under way.
    """
    state.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(state / "maintenance.lock", timeout=0):
            yield
    except Timeout as error:
        raise MaintenanceError("a pruning is under way; try again when it ends") from error
