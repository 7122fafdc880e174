"""Write the card of a model that has just been registered."""

import logging

from mlstack.contract import Contract
from mlstack.data.dataset import SplitRows
from mlstack.model.card_names import card_name
from mlstack.model.targets import Scores
from mlstack.settings import Settings
from model_orchestration.model_card.card import Origin, make_card
from model_orchestration.model_card.publish import keep_card, publish_cards
from model_orchestration.registration import Registration

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


def write_card(
    contract: Contract,
    registered: Registration,
    origin: Origin,
    parts: SplitRows,
    *,
    scores: Scores,
    log: Log,
) -> None:
    """Write a card into MLflow and the reports' folder; `scores` are those of the test rows.

    A failure is logged: the model is registered, and of use without its card.
    """
    settings = Settings.load()
    try:
        card = make_card(contract, registered, origin, parts, scores)
        keep_card(settings, registered, origin.run_id, card)
        publish_cards(settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not fail the training
        log.error(  # noqa: TRY400 - one sentence for the reader of the run's log
            "version %s is registered, but its model card is missing or incomplete: %s: %s",
            *(registered.version, type(error).__name__, error),
        )
        return
    log.info("model card: %s/%s", settings.reports_url, card_name(origin.run_id))
