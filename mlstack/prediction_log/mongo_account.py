"""Create the services' MongoDB account, which can access only their database.

Run `python -m mlstack.prediction_log.mongo_account` once MongoDB is up. `MONGO_URI` and
`MONGO_PASSWORD_FILE` define the account, `MONGO_ROOT_USER` and `MONGO_ROOT_PASSWORD_FILE` the
account that creates it. If the account exists, its password is updated. If `MONGO_OWN_HOST`, the
stack's own MongoDB, is set and the URI names another one, nothing is done.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

from mlstack.command_line import run, say
from mlstack.errors import SettingsError
from mlstack.prediction_log.mongo_database import AUTHENTICATION_FAILED, DATABASE
from mlstack.secret_files import read_secret
from mlstack.settings import ROOT, Settings
from mlstack.waiting import Retry

log = logging.getLogger(__name__)

_ROOT_USER, _ROOT_PASSWORD_FILE = "MONGO_ROOT_USER", "MONGO_ROOT_PASSWORD_FILE"
_OWN_HOST = "MONGO_OWN_HOST"
_ROLES = [{"role": "readWrite", "db": DATABASE}]
_ALREADY_EXISTS = 51003
_WAIT_SECONDS = 60.0
# On its first start MongoDB answers briefly, without the account, and then restarts.
_START_SECONDS = 5.0


def main() -> None:
    """Create the account."""
    uri = Settings.load().mongo_uri
    own = os.environ.get(_OWN_HOST, "")
    if own and f"@{own}/" not in uri:
        say(f"MONGO_URI names another MongoDB than {own}: its account is yours to create")
        return
    wanted = parse_uri(uri)
    user, password = wanted["username"], wanted["password"]
    if not (user and password):
        raise SettingsError(
            "set MONGO_URI and MONGO_PASSWORD_FILE: they name the account to create"
        )
    root, file = os.environ.get(_ROOT_USER), os.environ.get(_ROOT_PASSWORD_FILE)
    if not (root and file):
        raise SettingsError(f"set {_ROOT_USER} and {_ROOT_PASSWORD_FILE}: that account creates it")
    client: MongoClient[dict[str, Any]] = MongoClient(
        uri,
        username=root,
        password=read_secret(_ROOT_PASSWORD_FILE, ROOT / file),
        authSource="admin",
        timeoutMS=5000,
    )
    with client:
        refused_until = time.monotonic() + _START_SECONDS

        def create() -> None:
            try:
                _create(client, user, password)
            except OperationFailure as error:
                if error.code != AUTHENTICATION_FAILED or time.monotonic() < refused_until:
                    raise
                raise SettingsError(
                    f"MongoDB refuses the login of {root}: the password in {Path(file).name} is "
                    "not the one that its volume was created with"
                ) from error

        retry = Retry(log, "MongoDB's account", PyMongoError, first=0.5, give_up=_WAIT_SECONDS)
        retry(create)
    say(f"MongoDB's account {user} can read and write {DATABASE}, and nothing else")


def _create(client: MongoClient[dict[str, Any]], user: str, password: str) -> None:
    account = {"pwd": password, "roles": _ROLES}
    try:
        client.admin.command({"createUser": user, **account})
    except OperationFailure as error:
        if error.code != _ALREADY_EXISTS:
            raise
        client.admin.command({"updateUser": user, **account})


if __name__ == "__main__":
    run(main, "mongo_account: ")
