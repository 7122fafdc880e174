"""Paths of the embedded environment's state, all of which a reset deletes."""

from pathlib import Path

from mlstack.settings import ROOT

STACK = ROOT / ".embedded"
LOGS = STACK / "logs"
RUN = STACK / "run"
"""Configuration, launch orders and pids of running processes."""

FEEDBACK_TOKEN = STACK / "feedback_token"
"""Token of `/feedback` and `/iterate` if they are exposed; see `.env.embedded`."""


def record(service: str, stack: Path = STACK) -> Path:
    """Return the file that identifies a service's process."""
    return stack / "run" / f"{service}.pid.json"
