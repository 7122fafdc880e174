"""The real table, if it is at hand."""

import os
from pathlib import Path

from mlstack.settings import ROOT

# Read here because within a test no setting comes from outside (conftest.py).
_NAMED = os.environ.get("DATA_FILE")


def real_table() -> Path | None:
    """Find the file of `DATA_FILE`, else the one beside the checkout; None: there is none."""
    path = ROOT / (_NAMED or "../shared/data/credit_card_churn.csv")
    return path if path.is_file() else None
