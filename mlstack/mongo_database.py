"""The services' database, for work that goes over all that is stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import PyMongoError

from mlstack.mongo_sink import DATABASE, StorageUnavailable

_CONNECT_MS = 10_000


@contextmanager
def open_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Opens it until the block ends; a single call may take as long as it takes.

    Args:
        uri: MongoDB's address.

    Raises:
        StorageUnavailable: MongoDB does not answer, or refuses.
    """
    try:
        with MongoClient[dict[str, Any]](
            uri,
            serverSelectionTimeoutMS=_CONNECT_MS,
            connectTimeoutMS=_CONNECT_MS,
            retryWrites=False,
            journal=True,
            tz_aware=True,
        ) as client:
            yield client[DATABASE]
    except PyMongoError as error:
        raise StorageUnavailable(f"MongoDB: {error}") from error
