"""Store reports in MongoDB, each as a document of `prediction_service.report`."""

from typing import Self

from pymongo import ASCENDING, DESCENDING, IndexModel

from mlstack.prediction_log.mongo_database import DATABASE, mongo_client, mongo_errors
from mlstack.quality.report_head import REPORTS
from reporting.report import Report

_CALL_SECONDS = 10.0
_RECENT = 50
"""Number of reports among which the last one of a contract is looked for."""

INDEXES = [
    IndexModel([("created_at", DESCENDING)]),  # the newest ones, retention and backup
    IndexModel([("flow_run_id", ASCENDING)]),
]


class ReportStore:
    """The reports of all contracts; a context manager that closes its connections.

    Every method raises StorageUnavailable when MongoDB does not answer. An invalid URI raises
    SettingsError.
    """

    def __init__(self, uri: str) -> None:
        self._client = mongo_client(uri, _CALL_SECONDS)
        self._reports = self._client[DATABASE][REPORTS]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def save(self, report: Report) -> None:
        """Store a report, replacing one of the same name."""
        document = {"_id": report.name, **report.model_dump()}
        with mongo_errors():
            self._reports.create_indexes(INDEXES)
            self._reports.replace_one({"_id": report.name}, document, upsert=True)

    def newest(self, count: int) -> list[Report]:
        """Return the newest reports, newest first."""
        with mongo_errors():
            found = list(self._reports.find(sort=[("created_at", DESCENDING)], limit=count))
        return [Report.model_validate(document) for document in found]

    def before(self, report: Report) -> Report | None:
        """Return the last report of the same contract before this one.

        None if it is not among the newest `_RECENT` reports.
        """
        return next(
            (
                each
                for each in self.newest(_RECENT)
                if each.contract.name == report.contract.name
                and each.created_at < report.created_at
            ),
            None,
        )

    def count(self) -> int:
        """Count all reports, without reading them."""
        with mongo_errors():
            return self._reports.estimated_document_count()

    def of_flow_run(self, flow_run_id: str) -> Report | None:
        """Return a flow run's report; None if it made none."""
        with mongo_errors():
            found = self._reports.find_one({"flow_run_id": flow_run_id})
        return None if found is None else Report.model_validate(found)
