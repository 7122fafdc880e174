"""The parts of a backup beside MLflow: MongoDB's documents, and the deployment record.

Documents are saved unchanged as BSON, some thousand in a member. Models are saved with MLflow;
servers fetch them from there again.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from mlstack.deployment.record import DeploymentState
from mlstack.files import write_atomically
from mlstack.prediction_log.mongo_database import open_database
from operations.backup.archive import ArchiveWriter

_DOCUMENTS, _DEPLOYMENTS = "mongodb", "state"
_BATCH = 1000
_RAW = CodecOptions(document_class=RawBSONDocument)
# The record comes last: servers start once it is there.
_DEPLOYMENT_FILES = ("deployments.jsonl", "deployment.json")


def save_documents(uri: str, archive: ArchiveWriter) -> dict[str, int]:
    """Add every collection, without indexes; return how many documents each has.

    Raises:
        StorageUnavailable: MongoDB does not answer.
    """
    counts: dict[str, int] = {}
    with open_database(uri) as database:
        # `data` last: an outcome that arrives meanwhile is then at least in its prediction.
        for name in sorted(database.list_collection_names(), reverse=True):
            counts[name] = 0
            # pymongo's annotation is wrong: these are bytes.
            batches = cast("Iterable[bytes]", database[name].find_raw_batches(batch_size=_BATCH))
            for number, batch in enumerate(batches):
                counts[name] += len(list(bson.decode_iter(batch, _RAW)))
                archive.add(f"{_DOCUMENTS}/{name}/{number:08}.bson", batch)
    return counts


def has_documents(uri: str) -> bool:
    """Return whether any collection has a document. Raises StorageUnavailable."""
    with open_database(uri) as database:
        names = database.list_collection_names()
        return any(database[name].find_one() is not None for name in names)


def restore_documents(uri: str, folder: Path) -> dict[str, int]:
    """Insert an unpacked backup's documents; return how many each collection has then.

    Raises:
        StorageUnavailable: MongoDB does not answer, or refuses.
    """
    with open_database(uri) as database:
        for path in sorted((folder / _DOCUMENTS).glob("*/*.bson")):
            documents = list(bson.decode_iter(path.read_bytes(), _RAW))
            if documents:
                database[path.parent.name].insert_many(documents)
        names = [path.name for path in (folder / _DOCUMENTS).glob("*")]
        return {name: database[name].count_documents({}) for name in names}


def save_deployments(state: Path, archive: ArchiveWriter) -> dict[str, int]:
    """Add the deployment record and the history; return how many deployments there were."""
    for name in _DEPLOYMENT_FILES:
        # Each file is replaced as a whole, so it is never read half-written.
        if (state / name).exists():
            archive.add(f"{_DEPLOYMENTS}/{name}", (state / name).read_bytes())
    return {"deployments": len(DeploymentState(state).history())}


def restore_deployments(state: Path, folder: Path) -> None:
    """Write an unpacked backup's deployment record and history into the state folder."""
    for name in _DEPLOYMENT_FILES:
        saved = folder / _DEPLOYMENTS / name
        if saved.exists():
            write_atomically(state / name, saved.read_bytes())
