"""MongoDB's part of a backup: its documents as they are, BSON, some thousand a member."""

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import bson
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from mlstack.prediction_log.mongo_database import open_database
from operations.backup.archive import ArchiveWriter

_FOLDER = "mongodb"
_BATCH = 1000
_AS_THEY_ARE = CodecOptions(document_class=RawBSONDocument)


def save_documents(uri: str, archive: ArchiveWriter) -> dict[str, int]:
    """Adds every collection of the services' database; returns how many documents each has.

    Indexes are not among it: the services make theirs when they start.

    Args:
        uri: MongoDB's address.
        archive: The backup.

    Raises:
        StorageUnavailable: MongoDB does not answer.
    """
    counts: dict[str, int] = {}
    with open_database(uri) as database:
        # An outcome that comes meanwhile is then at least in its prediction: data is the last.
        for name in sorted(database.list_collection_names(), reverse=True):
            counts[name] = 0
            # They are bytes, whatever pymongo's annotation says.
            batches = cast("Iterable[bytes]", database[name].find_raw_batches(batch_size=_BATCH))
            for number, batch in enumerate(batches):
                counts[name] += len(list(bson.decode_iter(batch, _AS_THEY_ARE)))
                archive.add(f"{_FOLDER}/{name}/{number:08}.bson", batch)
    return counts


def has_documents(uri: str) -> bool:
    """Whether any collection has any. Raises StorageUnavailable."""
    with open_database(uri) as database:
        return any(
            database[name].find_one() is not None for name in database.list_collection_names()
        )


def restore_documents(uri: str, folder: Path) -> dict[str, int]:
    """Puts all documents into a database that has none; returns how many each collection has then.

    Args:
        uri: MongoDB's address.
        folder: The unpacked backup.

    Raises:
        StorageUnavailable: MongoDB does not answer, or refuses.
    """
    with open_database(uri) as database:
        for path in sorted((folder / _FOLDER).glob("*/*.bson")):
            documents = list(bson.decode_iter(path.read_bytes(), _AS_THEY_ARE))
            if documents:
                database[path.parent.name].insert_many(documents)
        names = [path.name for path in (folder / _FOLDER).glob("*")]
        return {name: database[name].count_documents({}) for name in names}
