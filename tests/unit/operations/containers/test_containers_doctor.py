"""What `make doctor` says of a machine that runs containers."""

import os
import socket
from pathlib import Path

import pytest

from mlstack.settings import Settings
from operations.containers import doctor
from operations.machine import ports


@pytest.fixture
def _nobody_special(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not try the ports of root's, as the one that the guide makes."""
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(ports, "is_free", lambda *_: False)


@pytest.mark.usefixtures("_nobody_special")
def test_a_port_of_root_s_is_free_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy's 80 and 443: whoever runs make is not root, and the engine is."""
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(ports, "answers", lambda *address: asked.append(address))
    assert doctor._taken(443, "0.0.0.0", ours=False, other=None) is None  # noqa: S104
    assert asked == [("0.0.0.0", 443)]  # noqa: S104
    monkeypatch.setattr(ports, "answers", lambda *_: True)
    assert "it is taken by" in str(doctor._taken(443, "0.0.0.0", ours=False, other=None))  # noqa: S104


def test_who_takes_connections_answers() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not ports.answers("127.0.0.1", port)
        server.listen()
        assert ports.answers("127.0.0.1", port)
        assert "it is taken by" in str(doctor._taken(port, "127.0.0.1", ours=False, other=None))


def test_what_the_proxy_does_not_start_without_is_named(tmp_path: Path) -> None:
    for name, script in (("tls/fullchain.pem", "certificate.sh"), ("proxy/users", "user.sh")):
        missing = str(doctor.missing_of_proxy(tmp_path))
        assert name in missing
        assert script in missing
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert doctor.missing_of_proxy(tmp_path) is None


def test_a_bucket_of_aws_has_a_name_that_somebody_has_chosen() -> None:
    missing = str(doctor._no_bucket("cloud", Settings()))
    assert missing.startswith("FEATURE_STORE_BUCKET is empty")
    assert ".env.cloud" in missing
    assert doctor._no_bucket("cloud", Settings(feature_store_bucket="mine")) is None
