"""The store of reports says why MongoDB cannot be used."""

import pytest
from pymongo.errors import OperationFailure

from mlstack.prediction_log.mongo_database import AUTHENTICATION_FAILED, StorageUnavailable
from reporting.report_store import ReportStore


def test_refused_login_names_the_password_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere else, the message says what to do."""

    def refuse(*_: object, **__: object) -> None:
        raise OperationFailure("Authentication failed.", AUTHENTICATION_FAILED)

    with ReportStore("mongodb://127.0.0.1:1") as store:
        monkeypatch.setattr(store._reports, "find_one", refuse)
        with pytest.raises(StorageUnavailable, match="MONGO_PASSWORD_FILE"):
            store.of_flow_run("a run")
