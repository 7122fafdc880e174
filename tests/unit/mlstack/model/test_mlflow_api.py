"""Tests of the way to MLflow: clients see a sentence, the log has the details."""

import re
from pathlib import Path

import mlflow
import mlflow.artifacts
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException, RestException

from mlstack.errors import ModelError, RegistryUnavailable
from mlstack.model.mlflow_api import connect, download, find_run, find_run_id

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


class TestFindRunId:
    """Runs named by something else than their id are looked up in MLflow."""

    @pytest.fixture(scope="class")
    def address(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        """Return a store with two runs, of which the first has a registered model."""
        return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"

    @pytest.fixture(scope="class")
    def runs(self, address: str) -> list[str]:
        client = MlflowClient(address)
        experiment = client.create_experiment("churn")
        runs = [client.create_run(experiment).info.run_id for _ in range(2)]
        client.create_registered_model("churn")
        version = client.create_model_version("churn", "s3://nowhere", runs[0])
        client.set_registered_model_alias("churn", "champion", str(version.version))
        model = client.create_logged_model(experiment, source_run_id=runs[1])
        return [*runs, model.model_id]

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
