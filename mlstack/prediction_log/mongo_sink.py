"""Store predictions and outcomes in MongoDB.

Whichever of the two arrives later copies the outcome into its prediction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError

from mlstack.contract.prediction_fields import CREATED_AT, RUN_ID, TARGET, TARGET_AT
from mlstack.prediction_log.mongo_database import (
    DATABASE,
    OUTCOMES,
    PREDICTIONS,
    mongo_client,
    mongo_errors,
)
from mlstack.prediction_log.prediction import ID

_DUPLICATE_KEY = 11000
_CALL_SECONDS = 5.0
# Each update is a separate disk write; even a slow disk can do this many in time.
_UPDATES = 50

Document = Mapping[str, Any]


class MongoSink:
    """Stores predictions and outcomes; storing one again changes nothing.

    Raises SettingsError if the MongoDB URI can never work.
    """

    def __init__(self, uri: str) -> None:
        self._client = client = mongo_client(uri, _CALL_SECONDS)
        self._predictions = client[DATABASE][PREDICTIONS]
        self._outcomes = client[DATABASE][OUTCOMES]

    def prepare(self) -> None:
        """Create the indexes. Raises StorageUnavailable."""
        with mongo_errors():
            self._predictions.create_index([(CREATED_AT, ASCENDING)])
            self._outcomes.create_index([(TARGET_AT, ASCENDING)])

    def store_predictions(self, documents: Sequence[Document]) -> None:
        """Store predictions (`Prediction.document`); existing ones are kept.

        A newer one replaces an older one only if another model made it: a stream record whose
        answer was kept but not published is answered again, and the published answer must be
        stored. Raises StorageUnavailable if some are not stored; store all of them again.
        """
        rows = [_with_date(document, CREATED_AT) for document in documents]
        with mongo_errors():
            for some in _batches(self._insert(rows)):
                self._predictions.bulk_write(
                    [_replace_other_model(row) for row in some], ordered=False
                )
            ids = [row[ID] for row in rows]
            self._copy_outcomes(self._outcomes.find({ID: {"$in": ids}}))

    def store_outcomes(self, documents: Sequence[Document]) -> None:
        """Store outcomes (`Outcome.document`); the latest one per prediction wins.

        Raises StorageUnavailable as `store_predictions`.
        """
        outcomes = [_with_date(document, TARGET_AT) for document in documents]
        latest = {o[ID]: o for o in sorted(outcomes, key=lambda o: o[TARGET_AT])}
        with mongo_errors():
            for some in _batches(latest.values()):
                try:
                    self._outcomes.bulk_write(
                        [_set_if_later(o, upsert=True) for o in some], ordered=False
                    )
                except BulkWriteError as error:
                    _raise_unless_duplicates(error)
                self._copy_outcomes(some)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _insert(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Insert new predictions; return those that already exist."""
        try:
            self._predictions.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            _raise_unless_duplicates(error)
            return [rows[failure["index"]] for failure in error.details["writeErrors"]]
        return []

    def _copy_outcomes(self, outcomes: Iterable[Document]) -> None:
        for some in _batches(outcomes):
            self._predictions.bulk_write([_set_if_later(o) for o in some], ordered=False)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    rest = iter(documents)
    while some := list(islice(rest, _UPDATES)):
        yield some


def _replace_other_model(row: Document) -> UpdateOne:
    """Replace an older prediction if another model made it."""
    older = {ID: row[ID], RUN_ID: {"$ne": row[RUN_ID]}, CREATED_AT: {"$lt": row[CREATED_AT]}}
    return UpdateOne(older, {"$set": {name: row[name] for name in row if name != ID}})


def _set_if_later(outcome: Document, *, upsert: bool = False) -> UpdateOne:
    """Set an outcome unless a later one is stored; safe for concurrent writers.

    With `upsert`, a later one causes a duplicate key error: no document matches, and no other
    document with this id can be inserted.
    """
    earlier = {ID: outcome[ID], TARGET_AT: {"$not": {"$gte": outcome[TARGET_AT]}}}
    fields = {name: outcome[name] for name in (TARGET, TARGET_AT)}
    return UpdateOne(earlier, {"$set": fields}, upsert=upsert)


def _raise_unless_duplicates(error: BulkWriteError) -> None:
    """Raise the error again unless all failures are duplicate keys."""
    failures = error.details["writeErrors"]
    # A write that too few cluster members acknowledged does not count as stored.
    if error.details["writeConcernErrors"] or any(f["code"] != _DUPLICATE_KEY for f in failures):
        raise error


def _with_date(document: Document, field: str) -> dict[str, Any]:
    return {**document, field: datetime.fromisoformat(document[field])}
