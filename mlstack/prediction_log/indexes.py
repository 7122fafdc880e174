"""The indexes of predictions and outcomes.

Every query of the stack must be a range of one of them: a test runs all queries and compares. Each
index costs every insert some time, so each has a query that needs it.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.database import Database

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import CONTRACT, CREATED_AT, KEY, MORE, SOURCE, TARGET_AT
from mlstack.prediction_log.mongo_database import OUTCOMES, PREDICTIONS
from mlstack.prediction_log.prediction import ID, contract_label

CONTRACT_NAME = f"{CONTRACT}.name"
CONTRACT_HASH = f"{CONTRACT}.hash"
KEY_PATH = f"{MORE}.{KEY}"

_WITH_KEY = {KEY_PATH: {"$exists": True}}
_CUSTOMER = [(CONTRACT_NAME, ASCENDING), (KEY_PATH, ASCENDING)]

INDEXES = {
    PREDICTIONS: [
        # Retention and backup.
        IndexModel([(CREATED_AT, ASCENDING)]),
        # Monitoring and reports: the predictions of a time by one server. With the id, a report
        # chooses its sample without reading a document.
        IndexModel(
            [
                *((CONTRACT_NAME, ASCENDING), (CONTRACT_HASH, ASCENDING), (SOURCE, ASCENDING)),
                *((CREATED_AT, ASCENDING), (ID, ASCENDING)),
            ]
        ),
    ],
    # Retention and backup.
    OUTCOMES: [IndexModel([(TARGET_AT, ASCENDING)])],
}

KEYED_INDEXES = {
    # The latest prediction of a customer; of one batch, the one with the highest id.
    PREDICTIONS: [
        IndexModel(
            [*_CUSTOMER, (CREATED_AT, DESCENDING), (ID, DESCENDING)],
            partialFilterExpression=_WITH_KEY,
        )
    ],
    OUTCOMES: [
        IndexModel([*_CUSTOMER, (TARGET_AT, DESCENDING)], partialFilterExpression=_WITH_KEY)
    ],
}
"""They hold only documents with a caller's key, and are created only where keys are used, because
they cost each insert some time."""


def version_filter(contract: Contract) -> dict[str, str]:
    """Select the predictions of this version of a contract."""
    return {f"{CONTRACT}.{name}": value for name, value in contract_label(contract).items()}


def create_indexes(database: Database[dict[str, Any]]) -> None:
    """Create the indexes that every stack needs; those that exist stay."""
    _create(database, INDEXES, f"{SOURCE}_1_{CREATED_AT}_1")


def create_keyed_indexes(database: Database[dict[str, Any]]) -> None:
    """Create the indexes of predictions and outcomes with a key; those that exist stay."""
    _create(database, KEYED_INDEXES, f"{CONTRACT_NAME}_1_{KEY_PATH}_1_{CREATED_AT}_-1")


def _create(
    database: Database[dict[str, Any]], wanted: Mapping[str, list[IndexModel]], superseded: str
) -> None:
    """Create indexes, then drop the one of an earlier release that they replace."""
    for name, indexes in wanted.items():
        database[name].create_indexes(indexes)
    predictions = database[PREDICTIONS]
    if superseded in predictions.index_information():
        predictions.drop_index(superseded)
