"""Tables are kept by digest, here and in S3, until no run names them."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from mlstack.data.feature_store import FeatureStore
from mlstack.data.kept_tables import KeptTables, table_key
from mlstack.settings import Settings
from tests.support.aws import KEYS

MAY, JUNE = b"a,b\n1,2\n", b"PAR1 and so on"
LATER = datetime.now(UTC) + timedelta(days=2)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[FeatureStore]:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        store = FeatureStore("bucket")
        store.create()
        yield store


@pytest.fixture
def tables(tmp_path: Path) -> KeptTables:
    return KeptTables(Settings(state_dir=tmp_path))


def test_key_has_digest_and_format() -> None:
    assert table_key(MAY) == f"tables/{hashlib.sha256(MAY).hexdigest()}.csv"
    assert table_key(JUNE) == f"tables/{hashlib.sha256(JUNE).hexdigest()}.parquet"


def test_kept_table_has_the_exact_bytes(tables: KeptTables, store: FeatureStore) -> None:
    """Under one key however often it is kept, and readable by its owner only."""
    key = tables.keep(MAY, store)
    assert tables.keep(MAY, store) == key == table_key(MAY)
    [path] = tables.paths()
    assert store.download(key) == path.read_bytes() == MAY
    assert path.stat().st_mode & 0o077 == 0


def test_emulator_gets_lost_tables_again(tables: KeptTables, store: FeatureStore) -> None:
    keys = [tables.keep(content, store) for content in (MAY, JUNE)]
    store.remove(keys[0])
    said: list[str] = []
    tables.restore(store, said.append)
    assert said == [f"restored s3://bucket/{keys[0]}"]
    assert store.download(keys[0]) == MAY


def test_tables_are_removed_unless_needed_or_new(tables: KeptTables, store: FeatureStore) -> None:
    """Those here and those in S3 alone; what is not the stack's stays."""
    may, june = tables.keep(MAY, store), tables.keep(JUNE, store)
    other = f"tables/{'0' * 64}.csv"
    for key in (other, "tables/mine.csv", "elsewhere.csv"):
        boto3.client("s3").put_object(Bucket="bucket", Key=key, Body=b"x")
    (tables.folder / "mine.txt").touch()
    assert tables.remove_unneeded(store, datetime.now(UTC), lambda _: False) == (0, 0)
    digest = hashlib.sha256(JUNE).hexdigest()
    assert tables.remove_unneeded(store, LATER, digest.__eq__) == (2, len(MAY))
    left = {june, "tables/mine.csv", "elsewhere.csv"}
    assert store.objects("").keys() == left
    assert may not in left
    assert [path.name for path in tables.paths()] == [june.removeprefix("tables/")]


def test_table_that_is_trained_on_again_counts_as_new(
    tables: KeptTables, store: FeatureStore
) -> None:
    """A training names its table only a moment after it has read it."""
    tables.keep(MAY, store)
    [path] = tables.paths()
    os.utime(path, (0, 0))
    tables.keep(MAY, store)
    assert tables.remove_unneeded(store, datetime.now(UTC), lambda _: False) == (0, 0)
