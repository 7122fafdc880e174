import pytest

from mlstack.errors import SettingsError
from mlstack.flows.prefect_api import PrefectError, prefect_client, run_address
from model_orchestration import apply_flow, quick_run
from model_orchestration.mlflow_api import connect

NOBODY = "http://127.0.0.1:9/api"


def test_without_an_address_no_private_server_is_started() -> None:
    with pytest.raises(SettingsError, match="PREFECT_API_URL"), prefect_client():
        pass


def test_without_an_address_no_runs_are_written_to_a_local_folder() -> None:
    with pytest.raises(SettingsError, match="MLFLOW_TRACKING_URI"):
        connect()


def test_a_server_that_can_not_be_reached_is_said_with_its_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)

    def ask() -> None:
        with prefect_client() as client:
            client.hello()

    with pytest.raises(PrefectError, match=f"cannot be reached at {NOBODY}"):
        ask()


@pytest.mark.parametrize("command", [apply_flow.main, quick_run.main])
def test_a_command_without_a_server_ends_with_a_sentence_and_not_with_a_trace(
    command: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(command)
    assert command() == 1
    assert capsys.readouterr().err == (
        "PREFECT_API_URL is not set: there is no Prefect server to talk to\n"
    )


def test_a_run_is_looked_at_where_people_can_open_the_pages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which need not be where services find Prefect: containers have names of their own."""
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect_server:4200/api")
    monkeypatch.setenv("BIND_ADDRESS", "0.0.0.0")  # noqa: S104
    monkeypatch.setenv("PUBLIC_HOST", "ml.example.org")
    monkeypatch.setenv("PREFECT_PORT", "4300")
    assert run_address("some-id") == "http://ml.example.org:4300/runs/flow-run/some-id"
