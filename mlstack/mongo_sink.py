"""Where predictions and their outcomes are kept for good: MongoDB.

`prediction_service.data` has a document a prediction; `prediction_service.outcome` what
became of the customer, by the same id. An outcome is copied into its prediction by
whichever of the two arrives later.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, MongoClient, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError

from mlstack.errors import MlstackError

DATABASE = "prediction_service"
_DUPLICATE_KEY = 11000
_TIMEOUT_MS = 5000

Document = Mapping[str, Any]


class StorageUnavailable(MlstackError):
    """MongoDB does not answer, or refuses; the same call may go through later."""


class MongoSink:
    """Stores predictions and outcomes; storing one again changes nothing.

    Args:
        uri: MongoDB's address.
    """

    def __init__(self, uri: str) -> None:
        # Retries are the drainer's: a standalone server knows no retryable writes.
        client: MongoClient[dict[str, Any]] = MongoClient(
            uri,
            timeoutMS=_TIMEOUT_MS,
            serverSelectionTimeoutMS=_TIMEOUT_MS,
            retryWrites=False,
            journal=True,
            tz_aware=True,
        )
        self._client = client
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
        """Stores predictions; of two with the same id the first one stays.

        Raises:
            StorageUnavailable: not all of them are stored; store them again.
        """
        rows = [_dated(document, "created_at") for document in documents]
        try:
            try:
                self._predictions.insert_many(rows, ordered=False)
            except BulkWriteError as error:
                failures = error.details["writeErrors"]
                if any(failure["code"] != _DUPLICATE_KEY for failure in failures):
                    raise
            ids = [row["_id"] for row in rows]
            self._join(list(self._outcomes.find({"_id": {"$in": ids}})))
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def store_outcomes(self, documents: Sequence[Document]) -> None:
        """Stores outcomes; of two for the same prediction the later one stays.

        Raises:
            StorageUnavailable: not all of them are stored; store them again.
        """
        outcomes = [_dated(document, "target_at") for document in documents]
        latest = {o["_id"]: o for o in sorted(outcomes, key=lambda o: o["target_at"])}
        try:
            known = self._outcomes.find({"_id": {"$in": list(latest)}})
            newer = {o["_id"] for o in known if o["target_at"] >= latest[o["_id"]]["target_at"]}
            fresh = [o for o in latest.values() if o["_id"] not in newer]
            if fresh:
                self._outcomes.bulk_write(
                    [
                        UpdateOne({"_id": o["_id"]}, {"$set": _target(o)}, upsert=True)
                        for o in fresh
                    ],
                    ordered=False,
                )
            self._join(fresh)
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _join(self, outcomes: Sequence[Document]) -> None:
        if outcomes:
            self._predictions.bulk_write(
                [UpdateOne({"_id": o["_id"]}, {"$set": _target(o)}) for o in outcomes],
                ordered=False,
            )


def _dated(document: Document, key: str) -> dict[str, Any]:
    return {**document, key: datetime.fromisoformat(document[key])}


def _target(outcome: Document) -> dict[str, Any]:
    return {"target": outcome["target"], "target_at": outcome["target_at"]}
