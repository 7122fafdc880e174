"""Names of model card pages and of their tag in MLflow, which several services use."""

import re
from typing import Final

CARDS: Final = "model-cards.html"
"""The list of all model cards."""

CARD: Final = re.compile(r"model-card-[0-9a-f]{32}\.html")
"""Matches the name of a model card's page."""

CARD_TAG: Final = "model_card"
"""Tag of a registered version that has a card; its value is the artifact."""


def card_name(run_id: str) -> str:
    """Return the name of the page of a run's model card."""
    return f"model-card-{run_id}.html"
