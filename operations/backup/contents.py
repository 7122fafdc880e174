"""Back up MongoDB's documents, the quarantine, the tables and the deployment record.

Documents are saved unchanged as BSON, about a thousand per archive member. Model copies are
omitted, because servers download them from MLflow again.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from mlstack.contract.prediction_fields import CREATED_AT, TARGET_AT
from mlstack.data.kept_tables import KeptTables
from mlstack.deployment.record import DeploymentState
from mlstack.files import write_atomically
from mlstack.prediction_log.mongo_database import (
    DUPLICATE_KEY,
    OUTCOMES,
    PREDICTIONS,
    open_database,
)
from mlstack.prediction_log.prediction import ID
from mlstack.prediction_log.quarantine import DATABASE, Quarantine
from mlstack.prediction_log.time_ranges import by_ranges
from mlstack.quality.drift_history import AT, HISTORY
from mlstack.quality.report_head import REPORTS
from mlstack.settings import Settings
from operations.backup.archive import ArchiveWriter

_DOCUMENTS, _DEPLOYMENTS, _QUARANTINE = "mongodb", "state", "quarantine"
_TABLES = "data"
_BATCH = 1000
_TIMES = {PREDICTIONS: CREATED_AT, OUTCOMES: TARGET_AT, REPORTS: "created_at", HISTORY: AT}
"""Collections that are read along an index of time, and its field."""
_RAW = CodecOptions(document_class=RawBSONDocument)
# The record comes last, because servers start once it exists.
_DEPLOYMENT_FILES = ("deployments.jsonl", "deployment.json")


def save_documents(settings: Settings, archive: ArchiveWriter, now: datetime) -> dict[str, int]:
    """Add every collection, without indexes; return the documents per collection.

    A document that gets a later time during the backup is saved twice; the later one counts.
    Raises StorageUnavailable if MongoDB does not answer.
    """
    # Few documents are older, because pruning removes them.
    start = now - timedelta(days=max(settings.keep_predictions_days, settings.keep_reports_days))
    with open_database(settings.mongo_uri) as database:
        # `data` last: an outcome that arrives during the backup is then at least part of its
        # prediction document.
        names = sorted(database.list_collection_names(), reverse=True)
        return {name: _save_collection(database[name], archive, start, now) for name in names}


def _save_collection(
    collection: Collection[dict[str, Any]], archive: ArchiveWriter, start: datetime, end: datetime
) -> int:
    """Add all documents, by ranges of their time if they have one; return their number."""
    save = partial(_save_found, collection, archive, itertools.count())
    time = _TIMES.get(collection.name)
    if time is None:
        return save({})
    return by_ranges(start, end, lambda when: save({time: when}))


def _save_found(
    collection: Collection[dict[str, Any]],
    archive: ArchiveWriter,
    numbers: Iterator[int],
    query: Mapping[str, Any],
) -> int:
    count = 0
    # pymongo's annotation is wrong: the batches are bytes.
    batches = cast("Iterable[bytes]", collection.find_raw_batches(query, batch_size=_BATCH))
    for batch in batches:
        if found := len(list(bson.decode_iter(batch, _RAW))):
            archive.add(f"{_DOCUMENTS}/{collection.name}/{next(numbers):08}.bson", batch)
            count += found
    return count


def has_documents(uri: str) -> bool:
    """Return whether any collection has a document; may raise StorageUnavailable."""
    with open_database(uri) as database:
        names = database.list_collection_names()
        return any(database[name].find_one() is not None for name in names)


def restore_documents(uri: str, folder: Path) -> dict[str, int]:
    """Insert a backup's documents; return their number per collection, as the backup counts them.

    Raises StorageUnavailable if MongoDB does not answer or rejects a document.
    """
    # The backup counts a document that was saved twice as two.
    replaced = Counter[str]()
    with open_database(uri) as database:
        for path in sorted((folder / _DOCUMENTS).glob("*/*.bson")):
            name, documents = path.parent.name, bson.decode_iter(path.read_bytes(), _RAW)
            replaced[name] += _insert(database[name], list(documents))
        return {
            name: database[name].estimated_document_count() + count
            for name, count in replaced.items()
        }


def _insert(collection: Collection[dict[str, Any]], documents: Sequence[RawBSONDocument]) -> int:
    """Insert documents; replace those that exist, and return the number of these."""
    # Backups of earlier releases have such members.
    if not documents:
        return 0
    try:
        collection.insert_many(documents, ordered=False)
    except BulkWriteError as error:
        failures = error.details["writeErrors"]
        if error.details["writeConcernErrors"] or any(f["code"] != DUPLICATE_KEY for f in failures):
            raise
        for document in (documents[failure["index"]] for failure in failures):
            collection.replace_one({ID: document[ID]}, document)
        return len(failures)
    return 0


def save_quarantine(quarantine: Quarantine, archive: ArchiveWriter) -> dict[str, int]:
    """Add what is in quarantine; return the number of entries. Raises QuarantineError."""
    count = quarantine.count()
    if count:
        archive.add(f"{_QUARANTINE}/{DATABASE}", quarantine.copy())
        for path in quarantine.damaged_files():
            archive.add_file(f"{_QUARANTINE}/{path.name}", path)
    return {"quarantine": count}


def restore_quarantine(quarantine: Quarantine, folder: Path) -> None:
    """Write a backup's quarantine into the state folder."""
    for path in (folder / _QUARANTINE).glob("*"):
        write_atomically(quarantine.folder / path.name, path.read_bytes())


def save_tables(settings: Settings, archive: ArchiveWriter) -> dict[str, int]:
    """Add the tables that runs were trained on, and which of them are current."""
    folder = settings.state_path / _TABLES
    # Tables first, so that each one that is current is in the backup.
    tables = [*KeptTables(settings).paths(), *sorted(folder.glob("*.csv"))]
    for path in [*tables, *sorted(folder.glob("*.json"))]:
        archive.add_file(f"{_TABLES}/{path.relative_to(folder)}", path)
    return {"tables": len(tables)}


def restore_tables(state: Path, folder: Path) -> None:
    """Write a backup's tables into the state folder.

    The feature store gets them from there. A contract that has a table here keeps it.
    """
    files = [path for path in (folder / _TABLES).rglob("*") if path.is_file()]
    # Tables first, because the other files, which are JSON, name them.
    for path in sorted(files, key=lambda path: path.suffix == ".json"):
        target = state / path.relative_to(folder)
        if not target.exists():
            write_atomically(target, path.read_bytes(), mode=0o600)


def save_deployments(state: Path, archive: ArchiveWriter) -> dict[str, int]:
    """Add the deployment record and history; return the number of deployments."""
    for name in _DEPLOYMENT_FILES:
        # Files are replaced atomically, so they are never read half-written.
        if (state / name).exists():
            archive.add(f"{_DEPLOYMENTS}/{name}", (state / name).read_bytes())
    return {"deployments": len(DeploymentState(state).history())}


def restore_deployments(state: Path, folder: Path) -> None:
    """Write a backup's deployment record and history into the state folder."""
    for name in _DEPLOYMENT_FILES:
        saved = folder / _DEPLOYMENTS / name
        if saved.exists():
            write_atomically(state / name, saved.read_bytes())
