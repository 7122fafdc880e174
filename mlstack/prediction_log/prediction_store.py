"""Read predictions from MongoDB as tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pymongo import DESCENDING

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import (
    CONTRACT,
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
from mlstack.prediction_log.mongo_database import (
    DATABASE,
    PREDICTIONS,
    mongo_client,
    mongo_errors,
)
from mlstack.prediction_log.prediction import ID, LIVE_SOURCES, Source, contract_label

# A report reads 100,000 documents, about 10,000 a second on a busy machine.
_READ_SECONDS = 120.0


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
        seconds: float = _READ_SECONDS,
        sources: Sequence[Source] = LIVE_SOURCES,
    ) -> None:
        client = mongo_client(uri, seconds)
        self._client, self._contract = client, contract
        self._predictions = client[DATABASE][PREDICTIONS]
        self._filter: dict[str, Any] = {
            f"{CONTRACT}.{name}": value for name, value in contract_label(contract).items()
        }
        self._filter[SOURCE] = {"$in": list(sources)}

    def newest(self, count: int) -> pd.DataFrame:
        """Return the newest `count` predictions as `between` does, oldest first."""
        return self._read(self._filter, limit=count)

    def between(self, start: datetime, end: datetime, most: int = 0) -> pd.DataFrame:
        """Return the predictions of a time window, oldest first.

        `start` is included, `end` is excluded; both have a time zone. `most` limits the result to
        the newest ones; 0 means all. Raises StorageUnavailable.

        Returns:
            The features as `customer_table` returns them, the columns of `outcome_table`,
            `PREDICTION_ID` and `RUN_ID` (text), `CREATED_AT` (UTC). May have no rows.
        """
        return self._read(self._window(start, end), limit=most)

    def count(self, start: datetime, end: datetime) -> int:
        """Count the predictions of a time window. Raises StorageUnavailable."""
        with mongo_errors():
            return self._predictions.count_documents(self._window(start, end))

    def outcomes(self, prediction_ids: Sequence[str]) -> Mapping[str, Outcome]:
        """Return the known outcomes by prediction id."""
        wanted = {ID: {"$in": list(prediction_ids)}, TARGET: {"$exists": True}}
        with mongo_errors():
            return {d[ID]: d[TARGET] for d in self._predictions.find(wanted, {TARGET: 1})}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _window(self, start: datetime, end: datetime) -> dict[str, Any]:
        return {**self._filter, CREATED_AT: {"$gte": start, "$lt": end}}

    def _read(self, wanted: Mapping[str, Any], limit: int) -> pd.DataFrame:
        fields = [*self._contract.feature_names, PREDICTION, MORE, TARGET, RUN_ID, CREATED_AT]
        with mongo_errors():
            found = list(
                self._predictions.find(
                    wanted,
                    dict.fromkeys(fields, 1),
                    sort=[(CREATED_AT, DESCENDING)],
                    limit=limit,
                    batch_size=10_000,
                )
            )
        found.reverse()
        return prediction_table(found, self._contract)


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
