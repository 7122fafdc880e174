"""The checks of `make doctor` for the containers' environments."""

import os
import socket
from pathlib import Path

import pytest

from mlstack.probes import REFUSED, Answer
from mlstack.settings import Settings
from operations.containers import checks
from operations.machine import ports


@pytest.fixture
def _nobody_special(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unprivileged user, who cannot bind low ports."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(ports, "is_free", lambda *_: False)


@pytest.mark.usefixtures("_nobody_special")
def test_low_port_is_free_to_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine is root, so the proxy may have 80 and 443 although the caller may not."""
    asked: list[str] = []

    def refuse(address: str) -> Answer:
        asked.append(address)
        return Answer(ready=False, detail=REFUSED)

    monkeypatch.setattr(checks, "port_answers", refuse)
    assert checks.port_fault("0.0.0.0", 443) is None
    assert asked == ["0.0.0.0:443"]
    monkeypatch.setattr(checks, "port_answers", lambda _: Answer(ready=True, detail=""))
    assert "it is in use by" in str(checks.port_fault("0.0.0.0", 443))


@pytest.mark.usefixtures("_nobody_special")
def test_low_port_that_accepts_connections_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one at all addresses, which a client cannot name."""
    monkeypatch.setattr(checks, "_FIRST_UNPRIVILEGED_PORT", 65536)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert checks.port_fault("127.0.0.1", port) is None
        server.listen()
        for host in ("127.0.0.1", "0.0.0.0"):
            assert "it is in use by" in str(checks.port_fault(host, port))


def test_missing_files_of_proxy_are_named(tmp_path: Path) -> None:
    for name, script in (("tls/fullchain.pem", "certificate.sh"), ("proxy/users", "user.sh")):
        missing = str(checks.proxy_fault(tmp_path))
        assert name in missing
        assert script in missing
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert checks.proxy_fault(tmp_path) is None


def test_bucket_must_be_chosen() -> None:
    missing = str(checks.bucket_fault("cloud", Settings()))
    assert missing.startswith("FEATURE_STORE_BUCKET is empty")
    assert ".env.cloud" in missing
    assert checks.bucket_fault("cloud", Settings(feature_store_bucket="mine")) is None
