"""Documents are saved by ranges of their time, and those saved twice are restored once."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from pymongo import MongoClient

from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import Settings
from operations.backup.archive import ArchiveWriter, Manifest, unpack
from operations.backup.contents import restore_documents, save_documents

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_documents_of_any_time_are_saved_and_restored(mongo: str, tmp_path: Path) -> None:
    """Of a prediction that was made again during the backup, the later one."""
    days = (-9000, -3, -2, 0, 9000)
    kept = [{"_id": f"{day}", "created_at": NOW + timedelta(days=day)} for day in days]
    with MongoClient[dict[str, Any]](mongo, tz_aware=True) as client:
        database = client[DATABASE]
        database["data"].insert_many(kept)
        database["somebodys"].insert_many([{"_id": 1}, {"_id": "text"}])
        stream = io.BytesIO()
        with ArchiveWriter(stream) as archive:
            counts = save_documents(Settings(mongo_uri=mongo), archive, NOW)
            archive.finish(Manifest(began_at=NOW, mlflow_version="3", counts=counts))
        assert counts == {"data": len(days), "somebodys": 2}
        stream.seek(0)
        unpack(stream, tmp_path / "backup")
        later = {**kept[1], "created_at": NOW, "prediction": 0.5}
        (tmp_path / "backup/mongodb/data/99999999.bson").write_bytes(bson.encode(later))
        client.drop_database(DATABASE)
        restored = restore_documents(mongo, tmp_path / "backup")
        assert restored == {"data": len(days) + 1, "somebodys": 2}
        found = {each["_id"]: each for each in database["data"].find()}
    assert found == {each["_id"]: each for each in [*kept, later]}
