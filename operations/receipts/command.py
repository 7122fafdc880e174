"""Show what a kept prediction was made of, and score it again (`make explain`).

Usage: python -m operations.receipts.command ID KEY

Exit code 1 says that the prediction is not equal bit for bit, or cannot be scored again.
"""

import logging

from mlstack import command_line
from mlstack.contract import Contract
from mlstack.errors import MlstackError, SettingsError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.kept_predictions import Kept, KeptPredictions
from mlstack.settings import Settings
from operations.receipts.receipt import make_receipt
from operations.receipts.text import receipt_lines


class NoPrediction(MlstackError):
    """There is no such prediction."""


def main() -> int:
    """Print the receipt of one prediction."""
    parser = command_line.argument_parser("operations.receipts.command", __doc__)
    parser.add_argument("id", help="prediction id of an answer")
    parser.add_argument("key", help="caller's own identifier of a customer: the newest prediction")
    arguments = parser.parse_args()
    shorten_timeouts()
    # The receipt says in its own words which runs are missing.
    logging.getLogger("mlstack").setLevel(logging.ERROR)
    settings = Settings.load()
    kept = _find(settings, arguments.id, arguments.key)
    receipt = make_receipt(kept, ModelStore.of(settings))
    for line in receipt_lines(receipt):
        command_line.say(line)
    return int(bool(receipt.difference))


def _find(settings: Settings, prediction_id: str, key: str) -> Kept:
    predictions = KeptPredictions(settings)
    if bool(prediction_id) == bool(key):
        raise SettingsError(
            "name one: make explain ID=<prediction_id of an answer>, or KEY=<your own identifier "
            "of a customer>, for the newest prediction"
        )
    if prediction_id:
        found = predictions.by_id(prediction_id)
        which = f"with the id {prediction_id!r}"
    else:
        contract = Contract.load(settings.contract_path)
        if contract.key is None:
            raise SettingsError(f"{settings.contract} names no key, so predictions have none")
        found = predictions.newest(contract.name, key)
        which = f"of {contract.key.name} {key!r}"
    if found is None:
        raise NoPrediction(
            f"there is no prediction {which} in MongoDB, the spool or quarantine: it was never "
            f"made, or KEEP_PREDICTIONS_DAYS ({settings.keep_predictions_days:g}) are over"
        )
    return found


if __name__ == "__main__":
    command_line.run(main, "explain: ")
