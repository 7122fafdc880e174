"""Store predictions and outcomes in MongoDB.

Whichever of the two arrives later copies the outcome into its prediction.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import bson
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, OperationFailure

from mlstack.contract.prediction_fields import CREATED_AT, RUN_ID, TARGET, TARGET_AT
from mlstack.prediction_log.entry import Document
from mlstack.prediction_log.indexes import create_indexes
from mlstack.prediction_log.keyed_outcomes import KeyedOutcomes, identity_of
from mlstack.prediction_log.mongo_database import (
    DUPLICATE_KEY,
    OUTCOMES,
    PREDICTIONS,
    mongo_client,
    mongo_errors,
    newest_data,
)
from mlstack.prediction_log.prediction import ID

_CALL_SECONDS = 5.0
# Each update is a separate disk write; even a slow disk can do this many in time.
_UPDATES = 50

# The server's limit for a document is 16 MiB; an update needs some bytes around it.
_MAX_BYTES = 16 * 1024 * 1024 - 16 * 1024
# Codes of a server that cannot write now: stepping down, shutting down, no rights, no disk space,
# time limit, write conflict and the like (mongodb/mongo, error_codes.yml). Any other failure of a
# single document is about that document.
_PASSING = frozenset(
    {1, 6, 7, 8, 11, 13, 18, 39, 46, 50, 64, 89, 91, 112, 189, 202, 262}
    | {9001, 10107, 11600, 11601, 11602, 13388, 13435, 13436, 14031}
)

# Codes with which a server refuses a whole command because of a document in it: bad value, not
# parsed, wrong type, nested too deeply, invalid BSON, too large.
_ABOUT_A_DOCUMENT = frozenset({2, 9, 14, 15, 22, 10334, 17419})

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Row:
    """A document that can be encoded, with its position among those given."""

    number: int
    fields: Document
    encoded: RawBSONDocument


class MongoSink:
    """Stores predictions and outcomes; storing one again changes nothing.

    Raises SettingsError if the MongoDB URI can never work.
    """

    def __init__(self, uri: str) -> None:
        self._client = mongo_client(uri, _CALL_SECONDS)
        self._database = newest_data(self._client)
        self._predictions, self._outcomes = self._database[PREDICTIONS], self._database[OUTCOMES]
        self._keyed = KeyedOutcomes(self._database)

    def prepare(self) -> None:
        """Create the indexes. Raises StorageUnavailable."""
        with mongo_errors():
            create_indexes(self._database)

    def store_predictions(self, documents: Sequence[Document]) -> dict[int, str]:
        """Store predictions (`Prediction.document`); existing ones are kept.

        A newer one replaces an older one only if another model made it: a stream record whose
        answer was kept but not published is answered again, and the published answer must be
        stored. Returns the reasons of those that can never be stored, by position. Raises
        StorageUnavailable if others are not stored; store all of them again. Raises ValueError if
        MongoDB refuses the whole call because of a document: store them one by one.
        """
        rows, refused = _storable(documents, CREATED_AT)
        with _storing():
            # Inserted together with its outcome, a prediction needs no update.
            before = self._outcomes_of(rows)
            joined = [_with_outcome(row, before.get(row.fields[ID])) for row in rows]
            known = self._insert(self._predictions, joined, refused)
            self._update(self._predictions, known, _replace_other_model, refused)
            # Another state folder's keeper may have stored an outcome meanwhile.
            after = self._outcomes_of(row for row in rows if row.number not in refused)
            existing = {row.fields[ID] for row in known}
            self._copy_outcomes(
                outcome
                for name, outcome in after.items()
                if name in existing or outcome != before.get(name)
            )
            self._keyed.predictions_arrived([r.fields for r in rows if r.number not in refused])
        return refused

    def store_outcomes(self, documents: Sequence[Document]) -> dict[int, str]:
        """Store outcomes (`Outcome.document`); the latest one per prediction wins.

        One with a key belongs to the latest prediction made before it, whichever of the two comes
        first. Returns and raises as `store_predictions`.
        """
        rows, refused = _storable(documents, TARGET_AT, TARGET)
        latest = {row.fields[ID]: row for row in sorted(rows, key=lambda r: r.fields[TARGET_AT])}
        with _storing():
            known = self._insert(self._outcomes, list(latest.values()), refused)
            self._update(self._outcomes, known, partial(_set_if_later, upsert=True), refused)
            stored = [row.fields for row in latest.values() if row.number not in refused]
            self._copy_outcomes(outcome for outcome in stored if identity_of(outcome) is None)
            self._keyed.outcomes_arrived(outcome for outcome in stored if identity_of(outcome))
        return refused

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _outcomes_of(self, rows: Iterable[_Row]) -> dict[str, Document]:
        """Return the known outcomes of predictions, by prediction id."""
        ids = [row.fields[ID] for row in rows]
        return {found[ID]: found for found in self._outcomes.find({ID: {"$in": ids}})}

    def _insert(
        self,
        collection: Collection[dict[str, Any]],
        rows: Sequence[_Row],
        refused: dict[int, str],
    ) -> list[_Row]:
        """Insert new documents; return those that already exist."""
        if not rows:
            return []
        try:
            # Each was encoded once already, to see whether it can be.
            collection.insert_many([row.encoded for row in rows], ordered=False)
        except BulkWriteError as error:
            return _sort_failures(error, rows, refused)
        return []

    def _update(
        self,
        collection: Collection[dict[str, Any]],
        rows: Sequence[_Row],
        update: Callable[[Document], UpdateOne],
        refused: dict[int, str],
    ) -> None:
        for some in _batches(rows):
            try:
                collection.bulk_write([update(row.fields) for row in some], ordered=False)
            except BulkWriteError as error:
                _sort_failures(error, some, refused)

    def _copy_outcomes(self, outcomes: Iterable[Document]) -> None:
        for some in _batches(outcomes):
            self._predictions.bulk_write([_set_if_later(o) for o in some], ordered=False)


@contextmanager
def _storing() -> Iterator[None]:
    with mongo_errors():
        try:
            yield
        except OperationFailure as error:
            if not isinstance(error, BulkWriteError) and error.code in _ABOUT_A_DOCUMENT:
                raise ValueError(f"MongoDB refuses it: {error}") from error
            raise


def _batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    rest = iter(items)
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


def _with_outcome(row: _Row, outcome: Document | None) -> _Row:
    if outcome is None:
        return row
    fields = {**row.fields, TARGET: outcome[TARGET], TARGET_AT: outcome[TARGET_AT]}
    return _Row(row.number, fields, RawBSONDocument(bson.encode(fields)))


def _storable(
    documents: Sequence[Document], time_field: str, *required: str
) -> tuple[list[_Row], dict[int, str]]:
    """Encode documents; return them, and the reasons why others can never be stored."""
    rows, refused = list[_Row](), dict[int, str]()
    for number, document in enumerate(documents):
        try:
            fields = {**document, time_field: datetime.fromisoformat(document[time_field])}
            encoded = bson.encode(fields)
            _ = [fields[name] for name in required]
            if not (isinstance(fields[ID], str) and fields[time_field].tzinfo):
                raise ValueError(f"{ID} must be text, {time_field} must have a time zone")  # noqa: TRY301 - one list of reasons
        except KeyError as error:
            refused[number] = f"it has no field {error}"
        except (BSONError, ValueError, TypeError, OverflowError, RecursionError) as error:
            refused[number] = f"MongoDB has no form for it: {error}"
        else:
            if len(encoded) > _MAX_BYTES:
                refused[number] = f"it has {len(encoded):,} bytes, MongoDB takes {_MAX_BYTES:,}"
            else:
                rows.append(_Row(number, fields, RawBSONDocument(encoded)))
    return rows, refused


def _sort_failures(
    error: BulkWriteError, rows: Sequence[_Row], refused: dict[int, str]
) -> list[_Row]:
    """Return the rows that exist already, and note those that MongoDB refuses for good.

    Raises the error again if another row failed, as it may be stored later.
    """
    failures = error.details["writeErrors"]
    # A write that too few cluster members acknowledged does not count as stored.
    if error.details["writeConcernErrors"] or any(f["code"] in _PASSING for f in failures):
        raise error
    known = []
    for failure in failures:
        row = rows[failure["index"]]
        if failure["code"] == DUPLICATE_KEY:
            known.append(row)
        else:
            refused[row.number] = f"MongoDB refuses it: {failure['errmsg']}"
    return known
