"""Find kept predictions wherever they are: in the spool, in quarantine or in MongoDB."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from pymongo import DESCENDING

from mlstack.contract.prediction_fields import CREATED_AT
from mlstack.prediction_log.entry import PREDICTION, Document
from mlstack.prediction_log.indexes import CONTRACT_NAME, KEY_PATH, create_keyed_indexes
from mlstack.prediction_log.keyed_outcomes import identity_of
from mlstack.prediction_log.mongo_database import PREDICTIONS, StorageUnavailable, open_database
from mlstack.prediction_log.prediction import ID
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.prediction_log.segment import Segment
from mlstack.prediction_log.segment_view import bodies_with
from mlstack.settings import Settings

STORED = "in MongoDB"
SPOOLED = "in this machine's spool: it was answered, and the log keeper moves it to MongoDB"
_QUARANTINED = "in quarantine, because MongoDB cannot store it"


class Kept(NamedTuple):
    """A kept prediction, with `CREATED_AT` as a time, and where it is, for people."""

    document: Document
    place: str


class KeptPredictions:
    """The kept predictions of a state folder and its MongoDB."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def by_id(self, prediction_id: str) -> Kept | None:
        """Return a prediction; None if there is none.

        Raises StorageUnavailable if MongoDB is needed and does not answer.
        """
        waiting = [
            kept for kept in self._waiting(prediction_id) if kept.document[ID] == prediction_id
        ]
        try:
            with open_database(self._settings.mongo_uri) as database:
                stored = database[PREDICTIONS].find_one({ID: prediction_id})
        except StorageUnavailable:
            if not waiting:
                raise
            stored = None
        # An entry may be stored already and still be in the spool.
        return Kept(stored, STORED) if stored else next(iter(waiting), None)

    def newest(self, contract: str, key: str) -> Kept | None:
        """Return a customer's newest prediction, by the contract's name and the caller's key.

        None if there is none. Raises StorageUnavailable if MongoDB does not answer.
        """
        found = [
            kept for kept in self._waiting(key) if identity_of(kept.document) == (contract, key)
        ]
        with open_database(self._settings.mongo_uri) as database:
            create_keyed_indexes(database)
            newest = [(CREATED_AT, DESCENDING), (ID, DESCENDING)]
            query = {CONTRACT_NAME: contract, KEY_PATH: key}
            stored = database[PREDICTIONS].find_one(query, sort=newest)
        if stored is not None:
            found = [kept for kept in found if kept.document[ID] != stored[ID]]
            found.append(Kept(stored, STORED))
        return max(found, key=lambda kept: kept.document[CREATED_AT], default=None)

    def _waiting(self, text: str) -> Iterator[Kept]:
        """Yield predictions that are not in MongoDB and have a text."""
        # As it is written in JSON, without its quotation marks.
        written = msgspec.json.encode(text)[1:-1]
        for path in Segment.paths(self._settings.spool_path):
            for body in bodies_with(path, PREDICTION, written):
                if document := _read(body):
                    yield Kept(document, SPOOLED)
        for entry in Quarantine(self._settings.quarantine_path).entries():
            is_wanted = entry.kind == PREDICTION and written in entry.body
            if is_wanted and (document := _read(entry.body)):
                yield Kept(document, f"{_QUARANTINED}: {entry.reason}")


def _read(body: bytes) -> Document | None:
    """Read an entry; None if it is damaged, which the quarantine reports."""
    try:
        document = json.loads(body)
        return {
            **document,
            ID: document[ID],
            CREATED_AT: datetime.fromisoformat(document[CREATED_AT]),
        }
    except (ValueError, TypeError, KeyError):
        return None
