"""How Prefect's server is reached, and what is said when it is not."""

import pytest

from mlstack.errors import SettingsError
from mlstack.flows.command import schedule_command
from mlstack.flows.prefect_api import PrefectError, prefect_client, run_address
from model_orchestration.schedule import show_winner, training_schedule

NOBODY = "http://127.0.0.1:9/api"


@pytest.mark.parametrize("action", ["apply", "run"])
def test_prefect_without_an_address_is_an_error(action: str) -> None:
    """Without `PREFECT_API_URL` no private server is started."""
    with pytest.raises(SettingsError, match="PREFECT_API_URL is not set: no Prefect"):
        schedule_command(training_schedule, show_winner, [action])


def test_unreachable_server_is_named_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error carries the address that does not answer."""
    monkeypatch.setenv("PREFECT_API_URL", NOBODY)

    def ask() -> None:
        with prefect_client() as client:
            client.hello()

    with pytest.raises(PrefectError, match=f"cannot be reached at {NOBODY}"):
        ask()


def test_run_address_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses the public host, not the name by which containers reach Prefect."""
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect_server:4200/api")
    monkeypatch.setenv("BIND_ADDRESS", "0.0.0.0")
    monkeypatch.setenv("PUBLIC_HOST", "ml.example.org")
    monkeypatch.setenv("PREFECT_PORT", "4300")
    assert run_address("some-id") == "http://ml.example.org:4300/runs/flow-run/some-id"
