"""Keeps reports in MongoDB: `prediction_service.report`, a document each."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable, mongo_client
from reporting.report import Report

_CALL_SECONDS = 10.0


class ReportStore:
    """The reports of every contract; as a context manager, until its connections end.

    Every method raises StorageUnavailable when MongoDB does not answer.

    Args:
        uri: MongoDB's address.

    Raises:
        SettingsError: the address can never work.
    """

    def __init__(self, uri: str) -> None:
        self._client = mongo_client(uri, _CALL_SECONDS)
        self._reports = self._client[DATABASE]["report"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.close()

    def save(self, report: Report) -> None:
        """Keeps a report; one of the same name gives way."""
        document = {"_id": report.name, **report.model_dump()}
        with _answering():
            self._reports.create_index([("created_at", DESCENDING)])
            self._reports.replace_one({"_id": report.name}, document, upsert=True)

    def newest(self, count: int) -> list[Report]:
        """The newest reports, newest first."""
        with _answering():
            found = list(self._reports.find(sort=[("created_at", DESCENDING)], limit=count))
        return [Report.model_validate(document) for document in found]

    def count(self) -> int:
        """How many there are."""
        with _answering():
            return self._reports.count_documents({})

    def of_flow_run(self, flow_run_id: str) -> Report | None:
        """What a flow run has made; None: nothing."""
        with _answering():
            found = self._reports.find_one({"flow_run_id": flow_run_id})
        return None if found is None else Report.model_validate(found)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except PyMongoError as error:
        raise StorageUnavailable(f"MongoDB: {error}") from error
