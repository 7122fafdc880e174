"""List the predictions of one customer, newest first (`make predictions KEY=...`)."""

from collections.abc import Mapping
from typing import Any

from pymongo import DESCENDING

from mlstack import command_line
from mlstack.contract import Contract
from mlstack.contract.prediction_fields import (
    CREATED_AT,
    DECISION,
    MORE,
    PREDICTION,
    RUN_ID,
    SOURCE,
    TARGET,
)
from mlstack.errors import SettingsError
from mlstack.prediction_log.indexes import CONTRACT_NAME, KEY_PATH, create_keyed_indexes
from mlstack.prediction_log.mongo_database import PREDICTIONS, open_database
from mlstack.prediction_log.prediction import ID
from mlstack.settings import Settings

_MOST = 1000
"""Maximum number of predictions listed."""


def main() -> None:
    """List the predictions of a key."""
    parser = command_line.argument_parser("operations.predictions", __doc__)
    parser.add_argument("key", help="the caller's own identifier of the customer")
    key = parser.parse_args().key
    settings = Settings.load()
    contract = Contract.load(settings.contract_path)
    if contract.key is None:
        raise SettingsError(
            f"{settings.contract} names no key, so predictions have none: add key: {{name: ...}} "
            "to it and start the servers again"
        )
    if not key:
        raise SettingsError(f"KEY is empty: give the {contract.key.name} of a customer")
    with open_database(settings.mongo_uri) as database:
        # After a restore, they would exist only once a server has stored a prediction with a key.
        create_keyed_indexes(database)
        wanted = {CONTRACT_NAME: contract.name, KEY_PATH: key}
        newest = [(CREATED_AT, DESCENDING)]
        found = list(database[PREDICTIONS].find(wanted, sort=newest, limit=_MOST + 1))
    if not found:
        command_line.say(f"there is no prediction of {contract.key.name} {key!r}")
        return
    rows: list[tuple[str, ...]] = [
        (
            "when (UTC)",
            contract.answer,
            DECISION,
            contract.target.name,
            "prediction id",
            "run",
            "from",
        )
    ]
    rows += [_row(document) for document in found[:_MOST]]
    for line in command_line.columns(rows):
        command_line.say(line)
    if len(found) > _MOST:
        command_line.say(f"these are the newest {_MOST:,} of more that MongoDB has")


def _row(document: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{document[CREATED_AT]:%Y-%m-%d %H:%M:%S}",
        _value(document[PREDICTION]),
        _value(document.get(MORE, {}).get(DECISION, "-")),
        _value(document.get(TARGET, "not known")),
        document[ID],
        document[RUN_ID],
        document[SOURCE],
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    command_line.run(main, "predictions: ")
