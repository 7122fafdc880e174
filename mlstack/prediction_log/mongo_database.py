"""The services' MongoDB database: client, collections and errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from mlstack.errors import MlstackError, SettingsError

DATABASE = "prediction_service"
PREDICTIONS = "data"
"""Collection with one document per prediction, including its outcome once known."""
OUTCOMES = "outcome"
"""Collection with one document per outcome, by prediction id."""

AUTHENTICATION_FAILED = 18
"""MongoDB's code for a refused login."""

_CONNECT_MS = 5000
_REFUSED = (
    "it refuses the login: the password in MONGO_PASSWORD_FILE is not that of MONGO_URI's user; "
    "make setup-model-serve gives the account the password in .secrets/mongo_password"
)


class StorageUnavailable(MlstackError):
    """MongoDB does not answer or rejects a call; a retry may succeed."""


@contextmanager
def mongo_errors() -> Iterator[None]:
    """Convert every MongoDB error inside the block to StorageUnavailable."""
    try:
        yield
    except PyMongoError as error:
        refused = isinstance(error, OperationFailure) and error.code == AUTHENTICATION_FAILED
        raise StorageUnavailable(f"MongoDB: {_REFUSED if refused else error}") from error


def mongo_client(uri: str, seconds: float | None = None) -> MongoClient[dict[str, Any]]:
    """Create a client, without connecting or resolving names before the first call.

    `seconds` limits the time of one call; None means no limit. A MongoDB that is down is detected
    after 5 s in any case. Raises SettingsError if the URI can never work.
    """
    try:
        return MongoClient(
            uri,
            connect=False,
            connectTimeoutMS=_CONNECT_MS,
            serverSelectionTimeoutMS=_CONNECT_MS,
            # Not timeoutMS: it would also replace the server selection timeout.
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
    """Open the database for a block, without a time limit for single calls.

    Raises StorageUnavailable, or SettingsError if the URI can never work.
    """
    with mongo_errors(), mongo_client(uri) as client:
        yield client[DATABASE]
