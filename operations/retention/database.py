"""Prune MongoDB's documents, and the report pages."""

from datetime import datetime, timedelta
from typing import Any

from pymongo import ASCENDING
from pymongo.collection import Collection

from mlstack.contract.prediction_fields import CREATED_AT, TARGET_AT
from mlstack.prediction_log.mongo_database import OUTCOMES, PREDICTIONS, open_database
from mlstack.prediction_log.time_ranges import next_width
from mlstack.quality.drift_history import AT, HISTORY
from mlstack.quality.report_head import REPORTS
from mlstack.settings import Settings
from operations.retention.removal import Removal
from reporting.report import PAGE

_FIRST_WIDTH = timedelta(minutes=1)


def prune_database(settings: Settings, now: datetime) -> list[Removal]:
    """Remove old predictions, outcomes, reports and moments of monitoring's history.

    An outcome's age counts from when it was reported, which may be shortly before its prediction.
    Raises StorageUnavailable if MongoDB does not answer.
    """
    predictions, reports = settings.keep_predictions_days, settings.keep_reports_days
    with open_database(settings.mongo_uri) as database:
        old_reports = {"created_at": {"$lt": now - timedelta(days=reports)}}
        # Documents first, so that every listed report can be opened.
        pages = [found["html"] for found in database[REPORTS].find(old_reports, {"html": 1})]
        removed = [
            Removal(what, _remove(database[name], field, now - timedelta(days=days)), days)
            for what, name, field, days in (
                ("predictions", PREDICTIONS, CREATED_AT, predictions),
                ("outcomes", OUTCOMES, TARGET_AT, predictions),
                ("reports", REPORTS, "created_at", reports),
                ("moments of monitoring", HISTORY, AT, reports),
            )
        ]
    return [*removed, _remove_pages(settings, pages, now)]


def _remove(collection: Collection[dict[str, Any]], field: str, before: datetime) -> int:
    """Remove documents in batches along an index, so as not to block other clients."""
    count, width = 0, _FIRST_WIDTH
    while oldest := collection.find_one(
        {field: {"$lt": before}}, {field: 1}, sort=[(field, ASCENDING)]
    ):
        until, removed = oldest[field], 1
        while removed and until < before:
            until = min(before, until + width)
            removed = collection.delete_many({field: {"$lt": until}}).deleted_count
            count += removed
            width = next_width(width, removed)
    return count


def _remove_pages(settings: Settings, names: list[str], now: datetime) -> Removal:
    """Remove the pages of removed reports, and old pages without a report."""
    days = settings.keep_reports_days
    limit = (now - timedelta(days=days)).timestamp()
    folder = settings.reports_path
    found = {folder / name for name in names}
    found |= {page for page in folder.glob("*.html") if page.stat().st_mtime < limit}
    # Others may have pages there, too.
    pages = [page for page in found if PAGE.fullmatch(page.name) and page.is_file()]
    freed = sum(page.stat().st_size for page in pages)
    for page in pages:
        page.unlink()
    return Removal("reports' pages", len(pages), days, freed)
