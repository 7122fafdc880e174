"""Where predictions and their outcomes are kept for good: MongoDB.

`prediction_service.data` has a document a prediction; `prediction_service.outcome` what
became of the customer, by the same id. An outcome is copied into its prediction by
whichever of the two arrives later.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable, mongo_client

_DUPLICATE_KEY = 11000
_CALL_SECONDS = 5.0
# Each update is a write to the disk of its own: as many as even a slow one makes in time.
_UPDATES = 50

Document = Mapping[str, Any]


class MongoSink:
    """Stores predictions and outcomes; storing one again changes nothing.

    Args:
        uri: MongoDB's address.

    Raises:
        SettingsError: the address can never work.
    """

    def __init__(self, uri: str) -> None:
        self._client = client = mongo_client(uri, _CALL_SECONDS)
        self._predictions = client[DATABASE]["data"]
        self._outcomes = client[DATABASE]["outcome"]

    def prepare(self) -> None:
        """Makes the indexes. Raises StorageUnavailable."""
        try:
            self._predictions.create_index([("created_at", ASCENDING)])
            self._outcomes.create_index([("target_at", ASCENDING)])
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def store_predictions(self, documents: Sequence[Document]) -> None:
        """Stores predictions; one that is there already stays as it is.

        Unless another model has made it since: a record of a stream whose answer was kept but
        not published is answered anew, and what was published last is what is kept.

        Raises:
            StorageUnavailable: not all of them are stored; store them again.
        """
        rows = [_dated(document, "created_at") for document in documents]
        try:
            there = self._insert(rows)
            for some in _batches(there):
                self._predictions.bulk_write([_newer_model(row) for row in some], ordered=False)
            ids = [row["_id"] for row in rows]
            self._join(self._outcomes.find({"_id": {"$in": ids}}))
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def _insert(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Inserts those that are not there yet; returns the others."""
        try:
            self._predictions.insert_many(rows, ordered=False)
        except BulkWriteError as error:
            _raise_unless_duplicates(error)
            return [rows[failure["index"]] for failure in error.details["writeErrors"]]
        return []

    def store_outcomes(self, documents: Sequence[Document]) -> None:
        """Stores outcomes; of two for the same prediction the later one stays.

        Raises:
            StorageUnavailable: not all of them are stored; store them again.
        """
        outcomes = [_dated(document, "target_at") for document in documents]
        latest = {o["_id"]: o for o in sorted(outcomes, key=lambda o: o["target_at"])}
        try:
            for some in _batches(latest.values()):
                try:
                    self._outcomes.bulk_write(
                        [_later_outcome(o, upsert=True) for o in some], ordered=False
                    )
                except BulkWriteError as error:
                    _raise_unless_duplicates(error)  # a later one is there
                self._join(some)
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _join(self, outcomes: Iterable[Document]) -> None:
        for some in _batches(outcomes):
            self._predictions.bulk_write([_later_outcome(o) for o in some], ordered=False)


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    rest = iter(documents)
    while some := list(islice(rest, _UPDATES)):
        yield some


def _newer_model(row: Document) -> UpdateOne:
    """Replaces the prediction of another model that is older."""
    other = {"model_run_id": {"$ne": row["model_run_id"]}, "created_at": {"$lt": row["created_at"]}}
    return UpdateOne({"_id": row["_id"], **other}, {"$set": {k: row[k] for k in row if k != "_id"}})


def _later_outcome(outcome: Document, *, upsert: bool = False) -> UpdateOne:
    """Sets an outcome unless there is one as late. Several processes may write at the same time.

    With `upsert` a later one shows as a duplicate key: no document matches, and none can be added.
    """
    target = {"target": outcome["target"], "target_at": outcome["target_at"]}
    as_late = {"$gte": outcome["target_at"]}
    where = {"_id": outcome["_id"], "target_at": {"$not": as_late}}
    return UpdateOne(where, {"$set": target}, upsert=upsert)


def _raise_unless_duplicates(error: BulkWriteError) -> None:
    """Raises the error again, unless all that it says is that documents are there already."""
    failures = error.details["writeErrors"]
    # What was written but not acknowledged by enough of a cluster is not stored either.
    if error.details["writeConcernErrors"] or any(f["code"] != _DUPLICATE_KEY for f in failures):
        raise error


def _dated(document: Document, key: str) -> dict[str, Any]:
    return {**document, key: datetime.fromisoformat(document[key])}
