"""Join outcomes that name a caller's key with the latest prediction made before them.

Predictions and outcomes reach MongoDB in any order and from several keepers. A keeper that has
stored one of the two looks for the other afterwards, so at least one of two keepers that store at
the same time sees both.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pymongo import ASCENDING, DESCENDING
from pymongo.database import Database

from mlstack.contract.prediction_fields import (
    CONTRACT,
    CREATED_AT,
    KEY,
    MORE,
    TARGET,
    TARGET_AT,
)
from mlstack.prediction_log.entry import Document
from mlstack.prediction_log.indexes import CONTRACT_NAME, KEY_PATH, create_keyed_indexes
from mlstack.prediction_log.mongo_database import OUTCOMES, PREDICTIONS
from mlstack.prediction_log.prediction import ID

_OUTCOME = f"{MORE}.outcome"
"""Id of the outcome that a prediction got by its key."""


class KeyedOutcomes:
    """Joins outcomes and predictions that have a key; doing so again changes nothing."""

    def __init__(self, database: Database[dict[str, Any]]) -> None:
        self._database = database
        self._predictions, self._outcomes = database[PREDICTIONS], database[OUTCOMES]
        self._prepared = False

    def outcomes_arrived(self, outcomes: Iterable[Document]) -> None:
        """Give stored outcomes with a key to their predictions, as far as those are stored."""
        for outcome in outcomes:
            self._prepare()
            self._settle(outcome)

    def predictions_arrived(self, predictions: Sequence[Document]) -> None:
        """Settle the outcomes that were stored before some predictions made earlier."""
        times = dict[tuple[str, str], datetime]()
        for prediction in predictions:
            if identity := identity_of(prediction):
                made = _as_stored(prediction[CREATED_AT])
                times[identity] = min(made, times.get(identity, made))
        if times:
            self._prepare()
        for name in {name for name, _ in times}:
            keys = [key for contract, key in times if contract == name]
            earliest = min(times[name, key] for key in keys)
            later = {TARGET_AT: {"$gte": earliest}}
            for outcome in self._outcomes.find({**_of(name, {"$in": keys}), **later}):
                if outcome[TARGET_AT] >= times[name, outcome[MORE][KEY]]:
                    self._settle(outcome)

    def _prepare(self) -> None:
        if not self._prepared:
            create_keyed_indexes(self._database)
            self._prepared = True

    def _settle(self, outcome: Document) -> None:
        """Give an outcome to the latest prediction made before it, and to no other."""
        latest = self._latest_before(outcome)
        while latest is not None:
            self._give(latest, outcome)
            for other in self._predictions.find(
                {**_alike(outcome), _OUTCOME: outcome[ID], ID: {"$ne": latest[ID]}}
            ):
                self._take_back(other, outcome)
            # Another keeper may have stored a later prediction meanwhile.
            before, latest = latest, self._latest_before(outcome)
            if latest is None or latest[ID] == before[ID]:
                return

    def _latest_before(self, outcome: Document) -> dict[str, Any] | None:
        before = {**_alike(outcome), CREATED_AT: {"$lte": outcome[TARGET_AT]}}
        # The predictions of one batch were made at the same time.
        newest_first = [(CREATED_AT, DESCENDING), (ID, DESCENDING)]
        return self._predictions.find_one(before, sort=newest_first)

    def _give(self, prediction: Document, outcome: Document) -> None:
        """Set the outcome of a prediction unless a later one is set."""
        earlier = {ID: prediction[ID], TARGET_AT: {"$not": {"$gte": outcome[TARGET_AT]}}}
        fields = {name: outcome[name] for name in (TARGET, TARGET_AT)}
        by_key = {_OUTCOME: outcome[ID]} if identity_of(outcome) else {}
        self._predictions.update_one(earlier, {"$set": {**fields, **by_key}})

    def _take_back(self, prediction: Document, outcome: Document) -> None:
        """Remove an outcome that belongs to another prediction, and look for this one's own."""
        its = {ID: prediction[ID], _OUTCOME: outcome[ID], TARGET_AT: outcome[TARGET_AT]}
        nothing = dict.fromkeys((TARGET, TARGET_AT, _OUTCOME), "")
        self._predictions.update_one(its, {"$unset": nothing})
        made = prediction[CREATED_AT]
        # The predictions of one batch were made at the same time.
        following = self._predictions.find_one(
            {**_alike(prediction), CREATED_AT: made, ID: {"$gt": prediction[ID]}}
        ) or self._predictions.find_one(
            {**_alike(prediction), CREATED_AT: {"$gt": made}}, sort=[(CREATED_AT, ASCENDING)]
        )
        between = {"$gte": made} | ({"$lt": following[CREATED_AT]} if following else {})
        candidates = (
            self._outcomes.find_one(
                {**_alike(prediction), TARGET_AT: between}, sort=[(TARGET_AT, DESCENDING)]
            ),
            self._outcomes.find_one({ID: prediction[ID]}),
        )
        for candidate in candidates:
            if candidate is not None:
                self._give(prediction, candidate)


def identity_of(document: Document) -> tuple[str, str] | None:
    """Return the contract's name and the key of a prediction or outcome; None without a key."""
    more, contract = document.get(MORE), document.get(CONTRACT)
    if not isinstance(more, Mapping) or not isinstance(contract, Mapping):
        return None
    name, key = contract.get("name"), more.get(KEY)
    return (name, key) if isinstance(name, str) and isinstance(key, str) else None


def _alike(document: Document) -> dict[str, Any]:
    return _of(document[CONTRACT]["name"], document[MORE][KEY])


def _of(name: str, key: Any) -> dict[str, Any]:
    return {CONTRACT_NAME: name, KEY_PATH: key}


def _as_stored(time: datetime) -> datetime:
    """Cut a time to milliseconds, as MongoDB does."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
