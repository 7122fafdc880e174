"""Where a model comes from: the tags that every run of a search carries."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import version

import xgboost

from mlstack.contract import Contract
from mlstack.settings import ROOT

_LIBRARIES = ("hyperopt", "mlflow-skinny", "numpy", "pandas", "prefect", "scikit-learn")


def provenance(raw: bytes, contract: Contract) -> dict[str, str]:
    """Data, contract, code and libraries of a search.

    Args:
        raw: The raw table as the feature store has it.
        contract: What it was cleaned by.
    """
    return {
        "data_sha256": hashlib.sha256(raw).hexdigest(),
        "contract": contract.name,
        "contract_digest": contract.digest,
        "git_revision": git_revision(),
        "version.python": platform.python_version(),
        # Its distribution goes by another name where there is no GPU.
        "version.xgboost": xgboost.__version__,
        **{f"version.{library}": version(library) for library in _LIBRARIES},
    }


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
