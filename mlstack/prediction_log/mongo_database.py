"""The services' MongoDB database: client, collections and errors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl

from pymongo import MongoClient, ReadPreference
from pymongo.database import Database
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from mlstack.errors import MlstackError, SettingsError
from mlstack.probes import REFUSED, TIMED_OUT, UNKNOWN_NAME

DATABASE = "prediction_service"
PREDICTIONS = "data"
"""Collection with one document per prediction, including its outcome once known."""
OUTCOMES = "outcome"
"""Collection with one document per outcome, by prediction id."""

AUTHENTICATION_FAILED = 18
"""MongoDB's code for a refused login."""

DUPLICATE_KEY = 11000
"""MongoDB's code for a document whose id exists."""

_CONNECT_MS = 5000
_DEFAULTS: dict[str, Any] = {
    "connectTimeoutMS": _CONNECT_MS,
    "serverSelectionTimeoutMS": _CONNECT_MS,
    # Our writers retry; a standalone server does not support retryable writes.
    "retryWrites": False,
}
_UNESCAPED = "write /, @ and other special characters of a user or password as %2F, %40, ..."
_REFUSED = (
    "it refuses the login: the password in MONGO_PASSWORD_FILE is not that of MONGO_URI's user; "
    "make setup-model-serve gives the account the password in .secrets/mongo_password"
)
_SILENCES = {
    "Name or service not known": UNKNOWN_NAME,
    "Temporary failure in name resolution": UNKNOWN_NAME,
    "Connection refused": REFUSED,
    "timed out": TIMED_OUT,
}


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


def plain_reason(reason: str) -> str:
    """Return why MongoDB does not answer, for people: without how the driver is set up."""
    short = reason.partition(" (configured")[0]
    # The driver has no other sign of these than its text.
    return next((f"MongoDB: {said}" for text, said in _SILENCES.items() if text in short), short)


def mongo_client(uri: str, seconds: float | None = None) -> MongoClient[dict[str, Any]]:
    """Create a client, without connecting or resolving names before the first call.

    `seconds` limits the time of one call; None means no limit. A MongoDB that is down is detected
    after 5 s, unless the URI says otherwise: all of its options count, such as those of a replica
    set. Raises SettingsError if the URI can never work.
    """
    given = {name.lower() for name, _ in parse_qsl(uri.partition("?")[2])}
    try:
        return MongoClient(
            uri,
            connect=False,
            # Not timeoutMS: it would also replace the server selection timeout.
            socketTimeoutMS=None if seconds is None else int(seconds * 1000),
            journal=True,
            tz_aware=True,
            # Arguments would win over the URI.
            **{name: value for name, value in _DEFAULTS.items() if name.lower() not in given},
        )
    except (ConfigurationError, ValueError, OSError) as error:
        # pymongo's reason may quote the end of a password.
        reason = _UNESCAPED if "@" in str(error) else error
        raise SettingsError(f"MONGO_URI cannot be used: {reason}") from error


@contextmanager
def open_database(uri: str) -> Iterator[Database[dict[str, Any]]]:
    """Open the database for a block, without a time limit for single calls.

    Raises StorageUnavailable, or SettingsError if the URI can never work.
    """
    with mongo_errors(), mongo_client(uri) as client:
        yield newest_data(client)


def newest_data(client: MongoClient[dict[str, Any]]) -> Database[dict[str, Any]]:
    """Return the database as the primary has it, for those who write by what they read.

    Another member of a replica set may lag, and the URI may prefer those for reading.
    """
    return client.get_database(DATABASE, read_preference=ReadPreference.PRIMARY)
