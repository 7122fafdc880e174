"""Certificates of the Dask cluster."""

import os
import shutil
import ssl
from pathlib import Path

import pytest

from operations import dask_certificates
from operations.errors import StackError


def _content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_certificates_are_drawn_once_for_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "dask"
    assert dask_certificates.draw(folder)
    drawn = _content(folder)
    assert sorted(drawn) == ["scheduler.pem", "worker.pem"]
    assert not dask_certificates.draw(folder)
    assert _content(folder) == drawn
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert [path.name for path in tmp_path.iterdir()] == ["dask"]


def test_lost_certificate_draws_all_anew(tmp_path: Path) -> None:
    """Members of two authorities would refuse each other."""
    folder = tmp_path / "dask"
    dask_certificates.draw(folder)
    before = _content(folder)
    (folder / "worker.pem").unlink()
    assert dask_certificates.draw(folder)
    assert not set(before.values()) & set(_content(folder).values())


def test_authority_can_issue_nothing_more(tmp_path: Path) -> None:
    """A file has the key of its own member alone, and certificates of member and authority."""
    dask_certificates.draw(tmp_path / "dask")
    for text in _content(tmp_path / "dask").values():
        assert text.count("PRIVATE KEY-----") == 2
        assert text.count("BEGIN CERTIFICATE") == 2
    context = ssl.create_default_context(cafile=tmp_path / "dask/worker.pem")
    context.load_cert_chain(tmp_path / "dask/worker.pem")
    [authority] = context.get_ca_certs()
    assert "serialNumber" in authority


def test_missing_openssl_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StackError, match="TRAIN_ENGINE=dask needs openssl"):
        dask_certificates.draw(tmp_path / "dask")


def test_failed_draw_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    with pytest.raises(PermissionError):
        dask_certificates.draw(tmp_path / "dask", owner=12345)
    assert not list(tmp_path.iterdir())
