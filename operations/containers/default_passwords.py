"""Find logins with well-known passwords by trying them."""

import base64
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from operations.containers.inspection import Inspected
from operations.errors import StackError

_GUESSES = ("admin", "password", "example", "changeme", "root", "mongo", "grafana")
_SECONDS = 5


def find_default_passwords(containers: Sequence[Inspected]) -> tuple[str, ...]:
    """Try default passwords on every service with a login; return those that work.

    Raises StackError if a service does not answer, so that the result is unknown.
    """
    found: list[str] = []
    for each in containers:
        attempts = {"grafana": _grafana_logins, "mongo": _mongo_logins}.get(each.service)
        for host, port in each.ports if attempts else ():
            address = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared
            if ":" not in address and attempts is not None:
                found += [f"{each.service}: {login}" for login in attempts(address, port)]
    return tuple(found)


def _grafana_logins(host: str, port: int) -> list[str]:
    """Try only four: after five failures Grafana locks a user out for minutes."""
    working = []
    for password in ("admin", "grafana", "password", "prom-operator"):
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{host}:{port}/api/user", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310 - always http
                working.append(f"admin with {password}")
        except urllib.error.HTTPError as error:
            if error.code != 401:  # noqa: PLR2004 - HTTP's 'unauthorized'
                raise StackError(f"Grafana answers {error.code} to a login") from error
        except OSError as error:
            raise StackError(f"Grafana does not answer: {error}") from error
    return working


def _mongo_logins(host: str, port: int) -> list[str]:
    logins: list[tuple[str, dict[str, Any]]] = [("no login", {})]
    for user in ("root", "admin", "mlstack"):
        for password in dict.fromkeys((user, *_GUESSES)):
            login: dict[str, Any] = {"username": user, "password": password, "authSource": "admin"}
            logins.append((f"{user} with {password}", login))
    working = []
    for name, login in logins:
        client: MongoClient[dict[str, Any]] = MongoClient(
            host, port, directConnection=True, serverSelectionTimeoutMS=_SECONDS * 1000, **login
        )
        with client:
            try:
                client.list_database_names()
            except OperationFailure:
                continue
            except PyMongoError as error:
                raise StackError(f"MongoDB does not answer: {error}") from error
        working.append(name)
    return working
