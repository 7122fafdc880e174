"""Which revision of this project's code runs."""

import os
import subprocess

from mlstack.settings import ROOT


def git_revision() -> str:
    """Revision of this code: `GIT_REVISION` (images have no git), else git's, else `unknown`."""
    given = os.environ.get("GIT_REVISION")
    if given:
        return given
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()
