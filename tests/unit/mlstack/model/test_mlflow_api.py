"""Tests of the way to MLflow: clients see a sentence, the log has the details."""

import re
from pathlib import Path

import mlflow
import mlflow.artifacts
import pytest
from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

from mlstack.errors import ModelError, RegistryUnavailable
from mlstack.model.mlflow_api import connect, download, explain, find_run, find_run_id

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


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a store with two runs, of which the first has a registered model."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture(scope="module")
def runs(address: str) -> list[str]:
    client = MlflowClient(address)
    experiment = client.create_experiment("churn")
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    client.create_registered_model("churn")
    version = client.create_model_version("churn", "s3://nowhere", runs[0])
    client.set_registered_model_alias("churn", "champion", str(version.version))
    model = client.create_logged_model(experiment, source_run_id=runs[1])
    return [*runs, model.model_id]


class TestFindRunId:
    """Runs named by something else than their id are looked up in MLflow."""

    @pytest.fixture(autouse=True)
    def _store(self, address: str, runs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        assert runs
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)

    def test_run_is_found_by_model_version_alias_and_beginning(self, runs: list[str]) -> None:
        """Each of them names one run."""
        first, second, model = runs
        for given in ("models:/churn/1", "models:/churn/latest", "models:/churn@champion"):
            assert find_run_id(given) == first
        assert find_run_id(model) == second
        for run in (first, second):
            assert find_run_id(run[:12]) == run
            assert find_run_id(run) == run

    @pytest.mark.parametrize(
        "given",
        ["models:/churn/9", "models:/churn@nobody", "models:/none/latest", "m-" + RUN, "00000000"],
    )
    def test_unknown_run_is_named(self, given: str) -> None:
        """The sentence has what was given."""
        with pytest.raises(ModelError, match=re.escape(given)) as caught:
            find_run_id(given)
        assert not isinstance(caught.value, RegistryUnavailable)

    def test_beginning_of_several_runs_is_refused(
        self, runs: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The sentence lists the runs to choose from."""
        monkeypatch.setattr("mlstack.model.mlflow_api._runs_named", lambda *_: runs[:2])
        with pytest.raises(ModelError, match=f"{runs[0]}, {runs[1]}"):
            find_run_id("abcd")


@pytest.mark.parametrize("kind", ["experiment", "run"])
def test_deletion_meanwhile_is_explained(kind: str) -> None:
    """Writing to what somebody has deleted says so, and what to do."""
    said = f"The {kind} 12ab must be in the 'active' state. Current state is deleted."
    error = RestException({"error_code": "INVALID_PARAMETER_VALUE", "message": said})  # type: ignore[no-untyped-call]
    explained = explain(error)
    assert explained.startswith(f"somebody has deleted the {kind} 12ab in MLflow; ")
    assert "make train" in explained


def test_rejection_is_explained_in_one_line() -> None:
    """MLflow's own reason without the database's statement, and the code once."""
    said = "Experiment(name=x) already exists.\n[SQL: INSERT INTO experiments]"
    error = RestException({"error_code": "RESOURCE_ALREADY_EXISTS", "message": said})  # type: ignore[no-untyped-call]
    assert explain(error) == "Experiment(name=x) already exists. (RESOURCE_ALREADY_EXISTS)"


@pytest.mark.parametrize("listed", [True, False])
def test_missing_file_is_told_from_a_failed_download(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, listed: bool
) -> None:
    """A run without the file will never have it; a failed download may go through later."""
    _fails(
        monkeypatch, MlflowException("no file", error_code=RESOURCE_DOES_NOT_EXIST), silent=False
    )
    monkeypatch.setattr(MlflowClient, "list_artifacts", lambda *_: [])
    found = [FileInfo("model/MLmodel", is_dir=False, file_size=5)] if listed else []
    monkeypatch.setattr(mlflow.artifacts, "list_artifacts", lambda **_: found)
    with pytest.raises(ModelError) as caught:
        download(RUN, "model", tmp_path)
    assert isinstance(caught.value, RegistryUnavailable) is listed
    assert ("has no model in MLflow" in str(caught.value)) is not listed


@pytest.mark.parametrize("name", ["", "None", "foo bar/../x", "REDACTED-RUN-ID"])
def test_text_that_is_no_run_id_is_not_looked_up(name: str) -> None:
    """What people type into a tag is no run, and MLflow is not asked."""
    with pytest.raises(ModelError, match="MLflow has no run") as caught:
        find_run(name)
    assert not isinstance(caught.value, RegistryUnavailable)
