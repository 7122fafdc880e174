"""Secrets come from files, and who reaches the server decides whether one is wanted."""

from pathlib import Path

import pytest

from mlstack.errors import SettingsError
from mlstack.settings import Settings

URI = "mongodb://mlstack@mongo:27017/?authSource=admin"


@pytest.fixture
def password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "password"
    file.write_text("p@ss/hush\n")
    monkeypatch.setenv("MONGO_URI", URI)
    monkeypatch.setenv("MONGO_PASSWORD_FILE", str(file))
    return file


@pytest.mark.usefixtures("password")
def test_mongodb_s_password_comes_from_its_file_and_is_not_printed() -> None:
    settings = Settings.load()
    assert settings.mongo_uri == "mongodb://mlstack:p%40ss%2Fhush@mongo:27017/?authSource=admin"
    assert "hush" not in repr(settings)


def test_a_password_for_nobody_is_refused(password: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert password.exists()
    monkeypatch.setenv("MONGO_URI", "mongodb://mongo:27017")
    with pytest.raises(SettingsError, match="MONGO_URI has to name"):
        Settings.load()


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_secret_that_is_not_there_is_named_by_its_setting(
    password: Path, content: str | None
) -> None:
    if content is None:
        password.unlink()
    else:
        password.write_text(content)
    with pytest.raises(SettingsError, match="MONGO_PASSWORD_FILE="):
        Settings.load()


@pytest.mark.parametrize(
    ("address", "host", "exposed"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.2", "localhost", False),
        ("::1", "127.0.0.1", False),
        ("0.0.0.0", "127.0.0.1", True),  # noqa: S104
        ("10.1.2.3", "127.0.0.1", True),
        ("127.0.0.1", "ml.example.org", True),  # through a proxy
    ],
)
def test_outcomes_want_a_token_as_soon_as_others_can_send_them(
    tmp_path: Path, address: str, host: str, *, exposed: bool
) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    settings = Settings(bind_address=address, public_host=host, feedback_token_file=file)
    assert settings.feedback_token == ("secret" if exposed else "")


def test_without_a_token_an_open_server_does_not_start() -> None:
    with pytest.raises(SettingsError, match="FEEDBACK_TOKEN_FILE must name"):
        _ = Settings(bind_address="0.0.0.0").feedback_token  # noqa: S104


def test_pages_are_where_people_can_open_them() -> None:
    """Ports that are this machine's alone others reach through a proxy, if it has the page."""
    here = Settings()
    assert here.reports_url == "http://127.0.0.1:8888"
    everywhere = Settings(bind_address="0.0.0.0", public_host="ml.example.org")  # noqa: S104
    assert everywhere.mlflow_url == "http://ml.example.org:5051"
    proxied = Settings(public_host="ml.example.org")
    assert proxied.mlflow_url == "https://mlflow.ml.example.org"
    assert proxied.prefect_url == "https://prefect.ml.example.org"
    assert proxied.reports_url == "https://reports.ml.example.org"
    assert proxied.monitor_page == "http://127.0.0.1:8085"
    assert proxied.prometheus_page == "http://127.0.0.1:9090"


def test_a_container_listens_everywhere_whatever_is_published() -> None:
    settings = Settings(listen_address="0.0.0.0")  # noqa: S104
    assert settings.listens_on == "0.0.0.0"  # noqa: S104
    assert not settings.is_exposed
    assert Settings(bind_address="10.1.2.3").listens_on == "10.1.2.3"
