"""Tests of the way to MLflow: clients see a sentence, the log has the details."""

from pathlib import Path

import mlflow.artifacts
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from mlstack.errors import RegistryUnavailable
from mlstack.model.mlflow_api import connect, download, find_run

RUN = "a" * 32
DRIVER = "HTTPConnectionPool(host='10.0.0.7', port=1): Max retries exceeded"


@pytest.fixture(autouse=True)
def _address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@mlflow.test:5050")


def _fails(monkeypatch: pytest.MonkeyPatch, error: MlflowException, *, silent: bool) -> None:
    def fail(*_: object, **__: object) -> None:
        try:
            raise ConnectionError(DRIVER) if silent else ValueError
        except (ConnectionError, ValueError):
            raise error  # noqa: B904 - as MLflow's client raises it

    monkeypatch.setattr(MlflowClient, "get_run", fail)
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", fail)


def test_silent_mlflow_is_reported_with_its_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _fails(monkeypatch, MlflowException(f"API request failed with exception {DRIVER}"), silent=True)
    at = "it does not answer at http://mlflow.test:5050 (make status)"
    with pytest.raises(RegistryUnavailable) as asked:
        find_run(RUN)
    assert str(asked.value) == f"MLflow cannot look up run {RUN}: {at}"
    with pytest.raises(RegistryUnavailable) as given:
        download(RUN, "model", tmp_path)
    assert str(given.value) == f"MLflow cannot give model of run {RUN}: {at}"
    assert caplog.text.count(DRIVER) == 2


def test_refusal_is_reported_by_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"error_code": "INTERNAL_ERROR", "message": "sqlite3: disk I/O error"}
    _fails(monkeypatch, RestException(said), silent=False)  # type: ignore[no-untyped-call]
    with pytest.raises(
        RegistryUnavailable, match=r": it fails with INTERNAL_ERROR \(make status\)$"
    ):
        find_run(RUN)


def test_mlflow_without_an_address_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `MLFLOW_TRACKING_URI` no runs are written to a local folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(RegistryUnavailable, match="MLFLOW_TRACKING_URI is not set"):
        connect()
