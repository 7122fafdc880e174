"""Names of the model cards' pages in the reports' folder, which several services know."""

import re
from typing import Final

CARDS: Final = "model-cards.html"
"""The list of all model cards."""

CARD: Final = re.compile(r"model-card-[0-9a-f]{32}\.html")
"""What the name of a model card's page looks like."""


def card_name(run_id: str) -> str:
    """Return the name of the page of a run's model card."""
    return f"model-card-{run_id}.html"
