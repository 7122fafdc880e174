"""Settings: secrets come from files; who can reach a service decides whether it needs a token."""

from datetime import UTC, datetime, timedelta
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
def test_mongo_password_comes_from_its_file_and_is_not_printed() -> None:
    settings = Settings.load()
    assert settings.mongo_uri == "mongodb://mlstack:p%40ss%2Fhush@mongo:27017/?authSource=admin"
    assert "hush" not in repr(settings)


def test_password_without_a_user_is_refused(
    password: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert password.exists()
    monkeypatch.setenv("MONGO_URI", "mongodb://mongo:27017")
    with pytest.raises(SettingsError, match="a MONGO_URI that names a user"):
        Settings.load()


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_missing_secret_is_reported_by_its_setting(password: Path, content: str | None) -> None:
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
        ("0.0.0.0", "127.0.0.1", True),
        ("10.1.2.3", "127.0.0.1", True),
        ("127.0.0.1", "ml.example.org", True),  # through a proxy
    ],
)
def test_exposed_services_require_a_token(
    tmp_path: Path, address: str, host: str, *, exposed: bool
) -> None:
    file = tmp_path / "token"
    file.write_text("secret")
    settings = Settings(bind_address=address, public_host=host, feedback_token_file=file)
    assert settings.feedback_token == ("secret" if exposed else "")


def test_exposed_server_without_a_token_does_not_start() -> None:
    with pytest.raises(SettingsError, match="FEEDBACK_TOKEN_FILE must name"):
        _ = Settings(bind_address="0.0.0.0").feedback_token


@pytest.mark.parametrize("name", ["my results", "a" * 129, "results/1", "\u00e9"])
def test_impossible_stream_name_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinesis would call every message to it invalid."""
    monkeypatch.setenv("RESULTS_STREAM", name)
    with pytest.raises(SettingsError, match="RESULTS_STREAM="):
        Settings.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TRAIN_EVERY_MINUTES", "9" * 20),
        ("PRUNE_EVERY_MINUTES", "9" * 20),
        ("TRAIN_SEED", "-1"),
        ("TRAIN_SEED", "9" * 30),
        ("MONITOR_URL", "127.0.0.1:8085"),
    ],
)
def test_value_that_fails_later_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No schedule has such a period, no generator such a seed: it would show in the middle."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"{name}="):
        Settings.load()


@pytest.mark.parametrize(
    "what",
    ["RUNS", "DELETED", "PREDICTIONS", "QUARANTINE", "REPORTS", "HISTORY", "LOGS"],
)
@pytest.mark.parametrize("days", ["36500", "999999"])
def test_for_ever_is_a_date(what: str, days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """People write many days for that; MLflow takes only times after 1970."""
    monkeypatch.setenv(f"KEEP_{what}_DAYS", days)
    found = getattr(Settings.load(), f"keep_{what.lower()}_days")
    assert found > 40 * 365
    assert (datetime.now(UTC) - timedelta(days=found + 1)).timestamp() > 0


def test_page_addresses_can_be_opened() -> None:
    """Other machines reach pages on loopback ports through the proxy, if it serves them."""
    here = Settings()
    assert here.reports_url == "http://127.0.0.1:8888"
    everywhere = Settings(bind_address="0.0.0.0", public_host="ml.example.org")
    assert everywhere.mlflow_url == "http://ml.example.org:5051"
    proxied = Settings(public_host="ml.example.org")
    assert proxied.mlflow_url == "https://mlflow.ml.example.org"
    assert proxied.prefect_url == "https://prefect.ml.example.org"
    assert proxied.reports_url == "https://reports.ml.example.org"
    assert proxied.monitor_page == "http://127.0.0.1:8085/monitoring"
    assert proxied.prometheus_page == "http://127.0.0.1:9090"


def test_listen_address_overrides_bind_address() -> None:
    settings = Settings(listen_address="0.0.0.0")
    assert settings.listens_on == "0.0.0.0"
    assert not settings.is_exposed
    assert Settings(bind_address="10.1.2.3").listens_on == "10.1.2.3"


def test_deployment_record_is_a_folder_in_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPLOYMENT_RECORD", "s3://bucket/folder/")
    assert str(Settings.load().deployment_record) == "s3://bucket/folder/"
    monkeypatch.setenv("DEPLOYMENT_RECORD", "bucket/folder")
    with pytest.raises(SettingsError, match=r"DEPLOYMENT_RECORD='bucket/folder': write s3://B"):
        Settings.load()
