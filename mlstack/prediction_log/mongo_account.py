"""Makes MongoDB's account that the services use, and no more than they need.

Entry point: `python -m mlstack.prediction_log.mongo_account`, once MongoDB runs. `MONGO_URI` and
`MONGO_PASSWORD_FILE` say the account, `MONGO_ROOT_USER` and `MONGO_ROOT_PASSWORD_FILE` who
may make it. When it is there already its password is set anew, so that the file is right.
"""

import os
import sys
import time
from typing import Any

from pymongo import MongoClient
from pymongo.errors import DuplicateKeyError, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from mlstack.errors import MlstackError, SettingsError
from mlstack.prediction_log.mongo_database import DATABASE, StorageUnavailable
from mlstack.secret_files import read_secret
from mlstack.settings import ROOT, Settings

_ROOT_USER, _ROOT_PASSWORD_FILE = "MONGO_ROOT_USER", "MONGO_ROOT_PASSWORD_FILE"
_ROLES = [{"role": "readWrite", "db": DATABASE}]
_ALREADY_EXISTS = 51003
_PATIENCE_SECONDS = 60.0


def main() -> int:
    """Makes the account, and says so."""
    wanted = parse_uri(Settings.load().mongo_uri)
    user, password = wanted["username"], wanted["password"]
    if not (user and password):
        raise SettingsError("MONGO_URI and MONGO_PASSWORD_FILE have to name the account to make")
    root, file = os.environ.get(_ROOT_USER), os.environ.get(_ROOT_PASSWORD_FILE)
    if not (root and file):
        raise SettingsError(f"{_ROOT_USER} and {_ROOT_PASSWORD_FILE} have to name who makes it")
    client: MongoClient[dict[str, Any]] = MongoClient(
        *wanted["nodelist"][0],
        username=root,
        password=read_secret(_ROOT_PASSWORD_FILE, ROOT / file),
        authSource="admin",
        timeoutMS=5000,
    )
    with client:
        _make(client, user, password)
    print(f"MongoDB's account {user} is there, for {DATABASE} alone")  # noqa: T201
    return 0


def _make(client: MongoClient[dict[str, Any]], user: str, password: str) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    account = {"pwd": password, "roles": _ROLES}
    while True:
        try:
            try:
                client.admin.command({"createUser": user, **account})
            except (OperationFailure, DuplicateKeyError) as error:
                if error.code != _ALREADY_EXISTS:
                    raise
                client.admin.command({"updateUser": user, **account})
        except PyMongoError as error:
            # While it is set up for the first time it answers, and then starts once more.
            if time.monotonic() > deadline:
                raise StorageUnavailable(f"MongoDB: {error}") from error
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlstackError as error:
        sys.exit(f"mongo_account: {error}")
