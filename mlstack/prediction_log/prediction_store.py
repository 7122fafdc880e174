"""Read predictions from MongoDB as tables."""

import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import Any

import numpy as np
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
from mlstack.prediction_log.sampling import Sample, share_error

_CALL_SECONDS = 120.0
_SLICES = 64
# The embedded MongoDB reads all that a query selects before it returns the first document.
_SPANS = (timedelta(hours=1), timedelta(days=1))
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_ROWS = 10_000
# The embedded MongoDB compares each document with every id.
_IDS = 100
_PART_ROWS = 100
"""Number of rows that a part of a sample should have: fewer take more queries."""

Query = Mapping[str, Any]


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
        """Return the predictions of a time window, or about `most` of them if there are more.

        The same window gives the same sample, unless it changed. Time and memory grow with `most`,
        not with the window. Raises StorageUnavailable.
        """
        # It protects nothing; with this seed, a repeated report has the same sample.
        chance = random.Random(start.timestamp())  # noqa: S311 - see above
        with mongo_errors():
            total = self._count(start, end, most, chance)
        if total <= most:
            rows = self.between(start, end)
            return Sample(rows, len(rows), 0.0)
        count = min(max(total // _PART_ROWS, 1), (end - start) // timedelta(milliseconds=1))
        width, order, read, cut = (end - start) / count, list(range(count)), 0, False
        chance.shuffle(order)

        def documents() -> Iterator[Mapping[str, Any]]:
            nonlocal read, cut
            found = 0
            while found < most and read < count:
                since = start + order[read] * width
                read += 1
                for query in self._window(since, since + width):
                    before = found
                    for document in self._documents(query, limit=most):
                        found += 1
                        yield document
                    cut |= found - before == most

        rows = self._table([documents()])
        parts = np.asarray((rows[CREATED_AT] - start) // width, np.int64)
        shares = rows[[*self._contract.feature_names, PREDICTION]]
        error = share_error(shares, parts, read / count)
        if not cut:
            return Sample(rows, round(len(rows) * count / read), error)
        # Nearly all were made at one moment.
        with mongo_errors():
            return Sample(rows, self._count(start, end, sys.maxsize, chance), 1.0)

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

    def _count(self, start: datetime, end: datetime, enough: int, chance: random.Random) -> int:
        """Count the predictions of a window; if there are more than `enough`, estimate how many."""
        queries, found = list(self._slices(start, end)), 0
        chance.shuffle(queries)
        for number, query in enumerate(queries, 1):
            found += self._predictions.count_documents(query)
            if found > enough:
                return found * len(queries) // number
        return found

    def _slices(self, start: datetime, end: datetime) -> Iterator[Query]:
        """Yield queries that cover a window, each for a part of its time and one server."""
        edges = [start + (end - start) * number / _SLICES for number in range(_SLICES)]
        for since, until in zip(edges, [*edges[1:], end], strict=True):
            yield from self._window(since, until)

    def _window(self, since: datetime, until: datetime) -> Iterator[Query]:
        for each in self._filters:
            yield {**each, CREATED_AT: {"$gte": since, "$lt": until}}

    def _documents(self, query: Query, **options: Any) -> Iterator[Mapping[str, Any]]:
        fields = [*self._contract.feature_names, PREDICTION, MORE, TARGET, RUN_ID, CREATED_AT]
        wanted = dict.fromkeys(fields, 1)
        yield from self._predictions.find(query, wanted, batch_size=_ROWS, **options)

    def _table(self, found: Iterable[Iterable[Mapping[str, Any]]]) -> pd.DataFrame:
        """Convert documents to a table, some at a time: they take five times its memory."""
        documents, parts = chain.from_iterable(found), list[pd.DataFrame]()
        with mongo_errors():
            while some := list(islice(documents, _ROWS)):
                parts.append(prediction_table(some, self._contract))
        if not parts:
            return prediction_table([], self._contract)
        rows = pd.concat(parts, ignore_index=True)
        return rows.sort_values(CREATED_AT, kind="stable", ignore_index=True)


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
