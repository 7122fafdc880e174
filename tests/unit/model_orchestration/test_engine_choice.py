from pathlib import Path

import pytest

from mlstack.errors import SettingsError
from model_orchestration import engine_choice
from model_orchestration.dask_cluster import Cluster
from model_orchestration.engine_choice import choose_engine


def test_default_engine_shares_the_cores() -> None:
    assert choose_engine("threads", cells=1, lag=1)[1] == (
        "trials at the same time: 1, with 1 thread(s) each"
    )


def test_missing_dask_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """No search falls back silently to the cores of one machine."""
    monkeypatch.setattr(engine_choice, "find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="Dask is not installed: set EXTRA_PACKAGES=dask"):
        choose_engine("dask", cells=1, lag=1)


def test_missing_certificate_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"DASK_CERTIFICATE=.*there is no such file"):
        Cluster("tls://127.0.0.1:1", tmp_path / "worker.pem").security()
