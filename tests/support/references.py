"""References as `reference_store` keeps them."""

import hashlib
import json
from pathlib import Path

import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import TARGET

QUALITY = {"rmse": 0.3, "logloss": 0.35, "auc": 0.8, "ece": 0.01}


def keep_reference(state: Path, run_id: str, contract: Contract, rows: pd.DataFrame) -> None:
    """Put the training rows and metrics of a run into a state folder.

    Args:
        state: The folder.
        run_id: The run.
        contract: What a customer is.
        rows: Features, and outcomes in `TARGET`.
    """
    training = rows[[*contract.feature_names, TARGET]].rename(
        columns={TARGET: contract.target.name}
    )
    folder = state / "references"
    folder.mkdir(parents=True, exist_ok=True)
    table = training.astype({contract.target.name: int}).to_csv(index=False).encode()
    for content, suffix in ((table, "csv"), (json.dumps(QUALITY).encode(), "json")):
        checksum = hashlib.sha256(content).hexdigest()
        (folder / f"{run_id}-{checksum}.{suffix}").write_bytes(content)
