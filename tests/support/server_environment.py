"""The environment of a service that a test starts: its settings, and nothing of the caller's."""

import os
from pathlib import Path

_KNOWN = {"PATH", "HOME", "LANG", "TMPDIR"}


def server_environment(state: Path, **settings: str) -> dict[str, str]:
    """Make the environment of a service with this state folder."""
    own = {name: value for name, value in os.environ.items() if name in _KNOWN}
    return {**own, "STATE_DIR": str(state), **settings}
