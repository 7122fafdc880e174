"""Where the embedded environment keeps what; all of it goes with a reset."""

from pathlib import Path

from mlstack.settings import ROOT

STACK = ROOT / ".embedded"
LOGS = STACK / "logs"
RUN = STACK / "run"
"""What is known of running processes: configuration, launch orders, pids."""

FEEDBACK_TOKEN = STACK / "feedback_token"
"""What `/feedback` and `/iterate` want once others reach them; `.env.embedded` names it."""


def record(service: str) -> Path:
    """Where a service's process is recorded."""
    return RUN / f"{service}.pid.json"
