"""A password that was edited after its volume was created is noticed."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import OperationFailure, ServerSelectionTimeoutError

from mlstack.errors import SettingsError
from mlstack.prediction_log import mongo_account
from mlstack.prediction_log.mongo_database import StorageUnavailable, mongo_errors
from operations.containers import credentials, logins
from operations.containers.engine import Container

VOLUMES = {"mongo": "mlstack_mongo", "grafana": "mlstack_grafana"}


class _Grafana(HTTPServer):
    """Takes one password and counts logins."""

    password, asked = "first", 0


class _Handler(BaseHTTPRequestHandler):
    server: _Grafana

    def do_GET(self) -> None:
        self.server.asked += 1
        wanted = base64.b64encode(f"admin:{self.server.password}".encode()).decode()
        fine = self.headers["Authorization"] == f"Basic {wanted}"
        self.send_response(200 if fine else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""


@pytest.fixture
def grafana() -> Iterator[_Grafana]:
    with _Grafana(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`.secrets/`, as it was when the volumes were created."""
    monkeypatch.setattr(credentials, "FOLDER", tmp_path)
    for name in credentials.NAMES:
        (tmp_path / name).write_text("first")
    return tmp_path


def _refused(service: str, port: int, *, again: bool, state: str = "running") -> dict[str, str]:
    return logins.find_refused(
        {service: {"ports": [{"host_ip": "127.0.0.1", "published": str(port)}]}},
        {service: [Container(state, health="", exit_code=0, id="1", since="", number=1)]},
        VOLUMES,
        again=again,
    )


def test_edited_password_of_grafana_names_file_and_volume(grafana: _Grafana, folder: Path) -> None:
    port = grafana.server_port
    assert _refused("grafana", port, again=True) == {}
    (folder / "grafana_admin_password").write_text("edited")
    fault = _refused("grafana", port, again=False)["grafana"]
    for part in (
        str(folder / "grafana_admin_password"),
        "volume mlstack_grafana was created with another one",
        "restore that file",
        "docker volume rm mlstack_grafana",
    ):
        assert part in fault


def test_status_does_not_lock_grafana(grafana: _Grafana, folder: Path) -> None:
    """Five failures within minutes would; a start tries again."""
    (folder / "grafana_admin_password").write_text("edited")
    for _ in range(10):
        assert _refused("grafana", grafana.server_port, again=False)
    assert grafana.asked == 1
    grafana.password = "edited"
    assert _refused("grafana", grafana.server_port, again=True) == {}
    assert _refused("grafana", grafana.server_port, again=False) == {}
    assert grafana.asked == 2
    assert (folder / logins._TRIED).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("service", ["grafana", "mongo"])
def test_stopped_service_is_not_asked(service: str, folder: Path) -> None:
    assert folder.exists()
    assert _refused(service, 1, again=True, state="exited") == {}


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (None, False),
        (OperationFailure("Authentication failed.", 18), True),
        (ServerSelectionTimeoutError("down"), False),
    ],
)
def test_edited_password_of_mongodb_names_file_and_volume(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None, *, refused: bool
) -> None:
    def command(*_: Any) -> None:
        if error:
            raise error

    monkeypatch.setattr("pymongo.database.Database.command", command)
    faults = _refused("mongo", 1, again=False)
    assert bool(faults) is refused
    if refused:
        assert str(folder / "mongo_root_password") in faults["mongo"]
        assert "docker volume rm mlstack_mongo" in faults["mongo"]


def test_refused_root_is_not_retried_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container that creates the account ends with a sentence."""
    (tmp_path / "mongo_root_password").write_text("edited")
    (tmp_path / "mongo_password").write_text("x")
    for name, value in {
        "MONGO_URI": "mongodb://mlstack@127.0.0.1:1/?authSource=admin",
        "MONGO_PASSWORD_FILE": str(tmp_path / "mongo_password"),
        "MONGO_ROOT_USER": "root",
        "MONGO_ROOT_PASSWORD_FILE": str(tmp_path / "mongo_root_password"),
    }.items():
        monkeypatch.setenv(name, value)
    tried = []

    def refuse(*_: Any) -> None:
        tried.append(1)
        raise OperationFailure("Authentication failed.", 18)

    monkeypatch.setattr(mongo_account, "_create", refuse)
    monkeypatch.setattr(mongo_account, "_START_SECONDS", 0.2)
    with pytest.raises(SettingsError, match=r"login of root.*mongo_root_password.*its volume"):
        mongo_account.main()
    assert len(tried) > 1


def test_account_in_another_mongodb_is_not_created(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The root password is of the stack's own MongoDB, so it is not sent to another one."""
    monkeypatch.setenv("MONGO_URI", "mongodb://mlstack@db1:27017,mongo:27017/?replicaSet=rs0")
    monkeypatch.setenv("MONGO_OWN_HOST", "mongo:27017")
    mongo_account.main()
    assert "its account is yours to create" in capsys.readouterr().out


def test_refused_login_of_a_server_says_what_to_do() -> None:
    with pytest.raises(StorageUnavailable, match="MONGO_PASSWORD_FILE"), mongo_errors():
        raise OperationFailure("Authentication failed.", 18)
