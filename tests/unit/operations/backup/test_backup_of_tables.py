"""A backup holds the tables of an emulator; those in AWS itself stay there."""

from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest

from mlstack.data.feature_store import durable_bucket
from mlstack.data.kept_tables import KeptTables
from mlstack.data.training_table import _save_copy, current_tables
from mlstack.settings import Settings
from operations.backup.archive import ArchiveWriter, Manifest, unpack
from operations.backup.contents import restore_tables, save_tables

MAY, JUNE = b"a,b\n1,2\n", b"a,b\n3,4\n"


def test_tables_come_back_from_a_backup(tmp_path: Path) -> None:
    """Those of runs and the current ones; a table that is current here stays so."""
    old, new = (Settings(state_dir=tmp_path / name) for name in ("old", "new"))
    KeptTables(old).save(MAY)
    for key in ("one.csv", "two.csv"):
        _save_copy(old, key, JUNE, "june.csv")
    _save_copy(new, "two.csv", MAY, "may.csv")
    stream = BytesIO()
    with ArchiveWriter(stream) as archive:
        counts = save_tables(old, archive)
        archive.finish(Manifest(began_at=datetime.now(UTC), mlflow_version="3", counts=counts))
    stream.seek(0)
    unpack(stream, tmp_path / "unpacked")
    assert counts == {"tables": 2}
    restore_tables(new.state_path, tmp_path / "unpacked")
    current = {table.key: table.path.read_bytes() for table in current_tables(new)}
    assert current == {"one.csv": JUNE, "two.csv": MAY}
    assert [path.read_bytes() for path in KeptTables(new).paths()] == [
        path.read_bytes() for path in KeptTables(old).paths()
    ]


def test_tables_in_aws_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert durable_bucket("bucket") == "s3://bucket"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    assert durable_bucket("bucket") is None
