"""Old predictions, outcomes and reports are removed from MongoDB and the reports' folder."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.settings import Settings
from operations.retention.database import prune_database
from reporting.report import report_name

NOW = datetime.now(UTC)
OLD, YOUNG = NOW - timedelta(days=91), NOW - timedelta(days=89)


def _settings(mongo: str, tmp_path: Path) -> Settings:
    return Settings(
        mongo_uri=mongo,
        reports_dir=tmp_path / "reports",
        keep_predictions_days=90,
        keep_reports_days=90,
    )


def _page(at: datetime) -> str:
    return f"{report_name(at, 'customers')}.html"


@pytest.fixture
def settings(mongo: str, tmp_path: Path) -> Settings:
    """A database and a folder with an old and a young one of each kind."""
    sink = MongoSink(mongo)
    sink.prepare()
    for name, at in (("old", OLD), ("young", YOUNG)):
        sink.store_predictions([{"_id": name, "prediction": 0.5, "created_at": at.isoformat()}])
        sink.store_outcomes([{"_id": name, "target": 1, "target_at": at.isoformat()}])
    sink.close()
    folder = tmp_path / "reports"
    folder.mkdir()
    with MongoClient[dict[str, Any]](mongo) as client:
        for name, at in (("old", OLD), ("young", YOUNG)):
            client[DATABASE]["report"].insert_one(
                {"_id": name, "created_at": at, "html": _page(at)}
            )
            client[DATABASE]["monitoring"].insert_one({"_id": name, "at": at})
    for name, at in (
        (_page(OLD), NOW),
        (_page(YOUNG), YOUNG),
        (_page(OLD - timedelta(days=1)), OLD),
        ("index.html", OLD),
        ("somebodys.html", OLD),
    ):
        page = folder / name
        page.write_text("<p>a page</p>")
        os.utime(page, (at.timestamp(), at.timestamp()))
    return _settings(mongo, tmp_path)


def test_prune_removes_the_old_and_keeps_the_young(settings: Settings) -> None:
    """Predictions, outcomes, reports and their pages go by age."""
    removed = {each.what: each.count for each in prune_database(settings, NOW)}
    assert removed == {
        "predictions": 1,
        "outcomes": 1,
        "reports": 1,
        "moments of monitoring": 1,
        "reports' pages": 2,
    }
    with MongoClient[dict[str, Any]](settings.mongo_uri) as client:
        for name in ("data", "outcome", "report", "monitoring"):
            assert [document["_id"] for document in client[DATABASE][name].find()] == ["young"]
    left = {page.name for page in settings.reports_path.iterdir()}
    assert left == {"index.html", "somebodys.html", _page(YOUNG)}


def test_prune_again_removes_nothing(settings: Settings) -> None:
    """A second pruning finds nothing to remove."""
    prune_database(settings, NOW)
    assert {each.count for each in prune_database(settings, NOW)} == {0}


def test_prune_without_mongodb_says_so(tmp_path: Path) -> None:
    """Pruning fails with a sentence that names MongoDB."""
    absent = "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=300"
    with pytest.raises(StorageUnavailable, match="MongoDB"):
        prune_database(_settings(absent, tmp_path), NOW)
