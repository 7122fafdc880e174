"""The sign of life of what keeps bucket, data and streams in being."""

from pathlib import Path

from mlstack.settings import Settings


def heartbeat_path(settings: Settings) -> Path:
    """The file that is renewed whenever nothing is missing."""
    return settings.state_path / "aws" / "heartbeat"
