"""Reads predictions back from MongoDB, as tables."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd
from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from mlstack.contract import Contract
from mlstack.data.customer_table import PREDICTION, TARGET, customer_table
from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable, mongo_client

PREDICTION_ID = "prediction_id"
RUN_ID = "model_run_id"
CREATED_AT = "created_at"

# A report reads 100,000 documents, some 10,000 a second on a busy machine.
_READ_SECONDS = 120.0


class PredictionStore:
    """The predictions of a contract that are in MongoDB, each with its outcome once it is known.

    Those of another version of the contract, which may have other features, are left out.

    Args:
        uri: MongoDB's address.
        contract: What a customer is.
        seconds: What MongoDB may take for one call.

    Raises:
        SettingsError: the address can never work.
    """

    def __init__(self, uri: str, contract: Contract, seconds: float = _READ_SECONDS) -> None:
        client = mongo_client(uri, seconds)
        self._client, self._contract = client, contract
        self._predictions = client[DATABASE]["data"]
        self._filter = {"contract.name": contract.name, "contract.hash": contract.digest}

    def newest(self, count: int) -> pd.DataFrame:
        """The newest predictions, `count` at most, oldest first; see `between`.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        return self._read(self._filter, limit=count)

    def between(self, start: datetime, end: datetime, most: int = 0) -> pd.DataFrame:
        """The predictions of a time window, oldest first.

        Args:
            start: With a time zone; predictions of this very moment are in.
            end: With a time zone; predictions of this very moment are out.
            most: The newest ones, so many at most; 0: all of them.

        Returns:
            The features as `customer_table` gives them, `PREDICTION` (float64), `TARGET`
            (float64; NaN: not known), `PREDICTION_ID` and `RUN_ID` (text), `CREATED_AT` (UTC).
            A window without predictions is a table without rows.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        return self._read({**self._filter, CREATED_AT: {"$gte": start, "$lt": end}}, limit=most)

    def count(self, start: datetime, end: datetime) -> int:
        """How many predictions a time window has. Raises StorageUnavailable."""
        window = {**self._filter, CREATED_AT: {"$gte": start, "$lt": end}}
        try:
            return self._predictions.count_documents(window)
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def outcomes(self, prediction_ids: Sequence[str]) -> Mapping[str, int]:
        """Those outcomes that are known, by prediction id: 1 for the positive class, else 0.

        Raises:
            StorageUnavailable: MongoDB does not answer.
        """
        wanted = {"_id": {"$in": list(prediction_ids)}, TARGET: {"$exists": True}}
        try:
            return {d["_id"]: d[TARGET] for d in self._predictions.find(wanted, {TARGET: 1})}
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _read(self, wanted: Mapping[str, Any], limit: int) -> pd.DataFrame:
        fields = [*self._contract.feature_names, PREDICTION, TARGET, RUN_ID, CREATED_AT]
        try:
            found = list(
                self._predictions.find(
                    wanted,
                    dict.fromkeys(fields, 1),
                    sort=[(CREATED_AT, DESCENDING)],
                    limit=limit,
                    batch_size=10_000,
                )
            )
        except PyMongoError as error:
            raise StorageUnavailable(f"MongoDB: {error}") from error
        found.reverse()
        return prediction_table(found, self._contract)


def prediction_table(documents: Sequence[Mapping[str, Any]], contract: Contract) -> pd.DataFrame:
    """Stored predictions as a table; see `PredictionStore.between`.

    Args:
        documents: As they are stored; what is not known of one may be absent.
        contract: What a customer is.
    """

    def column(key: str, dtype: Any) -> pd.Series:
        return pd.Series([document.get(key) for document in documents], dtype=dtype)

    return customer_table(documents, contract).assign(
        **{
            PREDICTION: column(PREDICTION, "float64"),
            TARGET: column(TARGET, "float64"),
            PREDICTION_ID: column("_id", object),
            RUN_ID: column(RUN_ID, object),
            CREATED_AT: column(CREATED_AT, "datetime64[us, UTC]"),
        }
    )
