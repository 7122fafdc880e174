"""Old predictions, outcomes and reports: in MongoDB, and the reports' pages."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from mlstack.prediction_log.mongo_database import open_database
from mlstack.settings import Settings
from operations.retention.removed import Removed

_SLICE = timedelta(hours=1)


def prune_database(settings: Settings, now: datetime) -> list[Removed]:
    """Removes old predictions, outcomes and reports.

    An outcome is as old as the day that it was reported on: it may come before its prediction,
    and never long before.

    Args:
        settings: How long they are kept, and where MongoDB is.
        now: With a time zone.

    Raises:
        StorageUnavailable: MongoDB does not answer.
    """
    predictions, reports = settings.keep_predictions_days, settings.keep_reports_days
    with open_database(settings.mongo_uri) as database:
        old_reports = {"created_at": {"$lt": now - timedelta(days=reports)}}
        # Documents first: what is listed can be opened.
        pages = [found["html"] for found in database["report"].find(old_reports, {"html": 1})]
        removed = [
            Removed(what, _remove(database[name], field, now - timedelta(days=days)), days)
            for what, name, field, days in (
                ("predictions", "data", "created_at", predictions),
                ("outcomes", "outcome", "target_at", predictions),
                ("reports", "report", "created_at", reports),
            )
        ]
    return [*removed, _pages(settings, pages, now)]


def _remove(collection: Collection[dict[str, Any]], field: str, before: datetime) -> int:
    """Removes documents hour by hour of their age, so that others get their turn in between."""
    count = 0
    while oldest := collection.find_one(
        {field: {"$lt": before}}, {field: 1}, sort=[(field, ASCENDING)]
    ):
        end = min(before, oldest[field] + _SLICE)
        count += collection.delete_many({field: {"$lt": end}}).deleted_count
    return count


def _pages(settings: Settings, names: list[str], now: datetime) -> Removed:
    """Removes the pages of reports, and pages that no report is left of."""
    days = settings.keep_reports_days
    limit = (now - timedelta(days=days)).timestamp()
    folder = settings.reports_path
    found = {folder / name for name in names}
    found |= {page for page in folder.glob("*.html") if page.stat().st_mtime < limit}
    found -= {folder / "index.html"}
    there = [page for page in found if page.is_file()]
    freed = sum(page.stat().st_size for page in there)
    for page in there:
        page.unlink()
    return Removed("reports' pages", len(there), days, freed)
