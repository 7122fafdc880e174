"""The services' database: one way to its client, and one to work that goes over all of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, PyMongoError

from mlstack.errors import MlstackError, SettingsError

DATABASE = "prediction_service"
_CONNECT_MS = 5000


class StorageUnavailable(MlstackError):
    """MongoDB does not answer, or refuses; the same call may go through later."""


def mongo_client(uri: str, seconds: float | None = None) -> MongoClient[dict[str, Any]]:
    """A client that asks nobody before its first call, not even for an address's servers (SRV).

    Args:
        uri: MongoDB's address.
        seconds: How long MongoDB may take to answer one call; None: as long as it takes.
            A MongoDB that is down is noticed after 5 s whatever this is.

    Raises:
        SettingsError: the address can never work.
    """
    try:
        return MongoClient(
            uri,
            connect=False,
            connectTimeoutMS=_CONNECT_MS,
            serverSelectionTimeoutMS=_CONNECT_MS,
            # Not timeoutMS: that would replace the server selection timeout as well.
            socketTimeoutMS=None if seconds is None else int(seconds * 1000),
            # Whoever writes tries again by himself: a standalone server knows no such writes.
            retryWrites=False,
            journal=True,
            tz_aware=True,
        )
    except (ConfigurationError, ValueError, OSError) as error:
        raise SettingsError(f"MONGO_URI cannot be used: {error}") from error


@contextmanager
def open_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Opens it until the block ends; a single call may take as long as it takes.

    Args:
        uri: MongoDB's address.

    Raises:
        SettingsError: the address can never work.
        StorageUnavailable: MongoDB does not answer, or refuses.
    """
    try:
        with mongo_client(uri) as client:
            yield client[DATABASE]
    except PyMongoError as error:
        raise StorageUnavailable(f"MongoDB: {error}") from error
