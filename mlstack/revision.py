"""The revision of this project's code."""

import os
import subprocess

from mlstack.settings import ROOT


def git_revision() -> str:
    """Return `GIT_REVISION` (set in images, which have no git), or git's revision.

    Returns `unknown` if neither is available.
    """
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
