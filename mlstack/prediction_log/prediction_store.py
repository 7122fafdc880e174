"""Read predictions from MongoDB as tables."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import pandas as pd
from pymongo import DESCENDING

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import (
    CREATED_AT,
    MORE,
    PREDICTION,
    PREDICTION_ID,
    RUN_ID,
    SOURCE,
    TARGET,
)
from mlstack.contract.target import Outcome
from mlstack.data.customer_table import customer_table
from mlstack.data.outcome_table import outcome_table
from mlstack.prediction_log.indexes import version_filter
from mlstack.prediction_log.mongo_database import (
    DATABASE,
    PREDICTIONS,
    mongo_client,
    mongo_errors,
)
from mlstack.prediction_log.prediction import ID, LIVE_SOURCES, Source

_CALL_SECONDS = 120.0
_SLICES = 64
# The embedded MongoDB reads all that a query selects before it returns the first document.
_SPANS = (timedelta(hours=1), timedelta(days=1))
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_ROWS = 10_000
_IDS = 100

Query = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """Predictions of a time window.

    Args:
        rows: As `PredictionStore.between` returns them.
        total: Number of predictions in the window; if there are fewer rows, these are a simple
            random sample.
    """

    rows: pd.DataFrame
    total: int


class PredictionStore:
    """A contract's predictions in MongoDB, each with its outcome once known.

    Predictions of other versions of the contract are left out: they may have other features. So
    are those of other `sources`; by default, tables that were scored do not count.
    `seconds` limits each call; reads raise StorageUnavailable if MongoDB does not answer. Raises
    SettingsError if the URI can never work.
    """

    def __init__(
        self,
        uri: str,
        contract: Contract,
        seconds: float = _CALL_SECONDS,
        sources: Sequence[Source] = LIVE_SOURCES,
    ) -> None:
        client = mongo_client(uri, seconds)
        self._client, self._contract = client, contract
        self._predictions = client[DATABASE][PREDICTIONS]
        version = version_filter(contract)
        # One query for each server, because a query is a range of an index only if all other
        # fields have one value.
        self._filters = [{**version, SOURCE: source} for source in sources]

    def newest(self, count: int) -> pd.DataFrame:
        """Return the newest `count` predictions as `between` does, oldest first."""
        now = datetime.now(UTC)
        for start in (*(now - span for span in _SPANS), _BEGINNING):
            queries = [{**each, CREATED_AT: {"$gte": start}} for each in self._filters]
            newest = {"sort": [(CREATED_AT, DESCENDING)], "limit": count}
            found = self._table(self._documents(query, **newest) for query in queries)
            if len(found) >= count:
                break
        return found.tail(count).reset_index(drop=True)

    def between(self, start: datetime, end: datetime) -> pd.DataFrame:
        """Return the predictions of a time window, oldest first.

        `start` is included, `end` is excluded; both have a time zone. Raises StorageUnavailable.

        Returns:
            The features as `customer_table` returns them, the columns of `outcome_table`,
            `PREDICTION_ID` and `RUN_ID` (text), `CREATED_AT` (UTC). May have no rows.
        """
        return self._table(self._documents(query) for query in self._slices(start, end))

    def sample(self, start: datetime, end: datetime, most: int) -> Sample:
        """Return the predictions of a time window, or `most` of them drawn at random.

        The same window gives the same sample, unless it changed. Memory grows with `most`, not with
        the window. Raises StorageUnavailable.
        """
        with mongo_errors():
            # The seed makes a repeated report the same.
            drawn, total = draw(self._ids(start, end), most, seed=start.timestamp())
        if total <= most:
            return Sample(self.between(start, end), total)
        # Neighbours in time are neighbours on disk.
        parts = (drawn[place : place + _IDS] for place in range(0, most, _IDS))
        rows = self._table(self._documents({ID: {"$in": some}}) for some in parts)
        return Sample(rows, total)

    def outcomes(self, prediction_ids: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the known outcomes by prediction id."""
        known: dict[str, Outcome] = {}
        with mongo_errors():
            for start in range(0, len(prediction_ids), _IDS):
                some = list(prediction_ids[start : start + _IDS])
                wanted = {ID: {"$in": some}, TARGET: {"$exists": True}}
                known |= {d[ID]: d[TARGET] for d in self._predictions.find(wanted, {TARGET: 1})}
        return known

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ids(self, start: datetime, end: datetime) -> Iterator[str]:
        for query in self._slices(start, end):
            for document in self._predictions.find(query, {ID: 1}, batch_size=_ROWS):
                yield document[ID]

    def _slices(self, start: datetime, end: datetime) -> Iterator[Query]:
        """Yield queries that cover a window, each for a part of its time and one server."""
        edges = [start + (end - start) * number / _SLICES for number in range(_SLICES)]
        for since, until in zip(edges, [*edges[1:], end], strict=True):
            for each in self._filters:
                yield {**each, CREATED_AT: {"$gte": since, "$lt": until}}

    def _documents(self, query: Query, **options: Any) -> Iterator[Mapping[str, Any]]:
        fields = [*self._contract.feature_names, PREDICTION, MORE, TARGET, RUN_ID, CREATED_AT]
        wanted = dict.fromkeys(fields, 1)
        yield from self._predictions.find(query, wanted, batch_size=_ROWS, **options)

    def _table(self, found: Iterable[Iterable[Mapping[str, Any]]]) -> pd.DataFrame:
        """Convert documents to a table, some at a time: as such they take five times the memory."""
        documents, parts = chain.from_iterable(found), list[pd.DataFrame]()
        with mongo_errors():
            while some := list(islice(documents, _ROWS)):
                parts.append(prediction_table(some, self._contract))
        if not parts:
            return prediction_table([], self._contract)
        rows = pd.concat(parts, ignore_index=True)
        return rows.sort_values(CREATED_AT, kind="stable", ignore_index=True)


def draw(names: Iterable[str], most: int, seed: float) -> tuple[list[str], int]:
    """Draw up to `most` names, each equally likely, in their order; return them and the total."""
    # Algorithm R (Vitter, 1985).
    chance = random.Random(seed)  # noqa: S311 - it protects nothing
    drawn, total = list[tuple[int, str]](), 0
    for name in names:
        if total < most:
            drawn.append((total, name))
        elif (place := chance.randrange(total + 1)) < most:
            drawn[place] = (total, name)
        total += 1
    return [name for _, name in sorted(drawn)], total


def prediction_table(documents: Sequence[Mapping[str, Any]], contract: Contract) -> pd.DataFrame:
    """Convert MongoDB documents to a table as `PredictionStore.between` returns it.

    Unknown fields may be absent from the documents.
    """

    def column(field: str, dtype: Any) -> pd.Series:
        return pd.Series([document.get(field) for document in documents], dtype=dtype)

    outcomes = outcome_table(documents, contract.target)
    return (
        customer_table(documents, contract)
        .join(outcomes)
        .assign(
            **{
                PREDICTION_ID: column(ID, object),
                RUN_ID: column(RUN_ID, object),
                CREATED_AT: column(CREATED_AT, "datetime64[us, UTC]"),
            }
        )
    )
