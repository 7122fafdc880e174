"""The real table, where it is there."""

import os
from pathlib import Path

from mlstack.settings import ROOT


def real_table() -> Path | None:
    """The file that `DATA_FILE` names, else the one beside the checkout; None: there is none."""
    named = os.environ.get("DATA_FILE")
    path = Path(named) if named else ROOT.parent / "shared" / "data" / "credit_card_churn.csv"
    return path if path.is_file() else None
