"""A table stays as long as a run names it or a contract trains on it."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import ViewType
from moto import mock_aws

from mlstack.contract import Contract
from mlstack.data.feature_store import FeatureStore
from mlstack.data.kept_tables import KeptTables, table_key
from mlstack.data.training_table import ensure_table
from mlstack.settings import Settings
from operations.retention import tables as pruning
from tests.support.aws import KEYS
from tests.support.raw_tables import raw_table

NAMED, UNNAMED = b"a,b\n1,2\n", b"a,b\n3,4\n"


class _Registry:
    """MLflow with one run, in the trash of a deleted experiment."""

    def search_experiments(self, view_type: int, page_token: str | None) -> Any:
        assert (view_type, page_token) == (ViewType.ALL, None)
        return _Page([SimpleNamespace(experiment_id="7")])

    def search_runs(self, ids: list[str], wanted: str, view: int, max_results: int) -> list[str]:
        assert (ids, view, max_results) == (["7"], ViewType.ALL, 1)
        return ["run"] if hashlib.sha256(NAMED).hexdigest() in wanted else []


class _Page(list[Any]):
    token = None


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(pruning, "connect", _Registry)
    with mock_aws():
        yield


def test_table_goes_with_the_last_run(tmp_path: Path, documented: Contract) -> None:
    given = tmp_path / "mine.csv"
    raw_table(documented, 30).to_csv(given, index=False)
    settings = Settings(
        data_file=given, state_dir=tmp_path / "state", feature_store_bucket="bucket"
    )
    store = FeatureStore("bucket")
    store.create()
    ensure_table(settings, documented, store, print)
    kept = KeptTables(settings)
    for content in (NAMED, UNNAMED):
        kept.keep(content, store)
    for path in kept.paths():
        os.utime(path, (0, 0))
    [removal] = pruning.prune_tables(settings, datetime.now(UTC))
    assert (removal.count, removal.freed) == (1, len(UNNAMED))
    left = {table_key(NAMED), table_key(given.read_bytes()), documented.data.key}
    assert store.objects("").keys() == left


def test_stack_without_a_bucket_has_no_tables(tmp_path: Path) -> None:
    assert pruning.prune_tables(Settings(state_dir=tmp_path), datetime.now(UTC)) == []
