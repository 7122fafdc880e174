"""Where a model comes from: the tags that every run of a search carries."""

import hashlib
import platform
from importlib.metadata import version

import xgboost

from mlstack.contract import Contract
from mlstack.revision import git_revision

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
