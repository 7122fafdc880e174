"""The services' database in MongoDB: its client, its collections, its errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, PyMongoError

from mlstack.errors import MlstackError, SettingsError

DATABASE = "prediction_service"
PREDICTIONS = "data"
"""Collection with one document a prediction, its outcome included once that is known."""
OUTCOMES = "outcome"
"""Collection with one document an outcome, by the id of its prediction."""

_CONNECT_MS = 5000


class StorageUnavailable(MlstackError):
    """MongoDB does not answer, or refuses; the same call may succeed later."""


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Raise StorageUnavailable for every error of MongoDB's inside the block."""
    try:
        yield
    except PyMongoError as error:
        raise StorageUnavailable(f"MongoDB: {error}") from error


def mongo_client(uri: str, seconds: float | None = None) -> MongoClient[dict[str, Any]]:
    """Make a client; it opens no connection and looks up no name before its first call.

    Args:
        uri: MongoDB's address.
        seconds: Time limit of MongoDB's answer to one call; None: no limit. A MongoDB that is
            down is noticed after 5 s in either case.

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
            # Our writers retry; a standalone server does not support retryable writes.
            retryWrites=False,
            journal=True,
            tz_aware=True,
        )
    except (ConfigurationError, ValueError, OSError) as error:
        raise SettingsError(f"MONGO_URI cannot be used: {error}") from error


@contextmanager
def open_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Open the database for a block, with no time limit for a single call.

    Args:
        uri: MongoDB's address.

    Raises:
        SettingsError: the address can never work.
        StorageUnavailable: MongoDB does not answer, or refuses.
    """
    with mongo_errors(), mongo_client(uri) as client:
        yield client[DATABASE]
