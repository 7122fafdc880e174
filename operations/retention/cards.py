"""Prune the model cards of versions that are no longer registered."""

from datetime import datetime

from mlstack.settings import Settings
from model_orchestration.model_card.publish import publish_cards
from operations.retention.removal import Removal


def prune_cards(settings: Settings, _: datetime) -> list[Removal]:
    """Remove the pages of cards whose version is gone, and bring back those that are missing.

    Raises RegistryUnavailable if MLflow is unreachable or rejects a request.
    """
    return [Removal("model cards' pages", publish_cards(settings), settings.keep_runs_days)]
