"""Find logins with well-known passwords by trying them."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from operations.containers.inspection import Inspected
from operations.containers.logins import grafana_status, reachable
from operations.errors import StackError

_GUESSES = ("admin", "password", "example", "changeme", "root", "mongo", "grafana")
_SECONDS = 5


def find_default_passwords(containers: Sequence[Inspected]) -> tuple[str, ...]:
    """Try default passwords on every service with a login; return those that work.

    Raises StackError if a service does not answer, so that the result is unknown.
    """
    tries = {"grafana": _grafana_logins, "mongo": _mongo_logins}
    found: list[str] = []
    for each in containers:
        if each.service not in tries:
            continue
        for host, port in each.ports:
            address = reachable(host)
            if ":" not in address:  # an IPv6 port has an IPv4 one beside it
                logins = tries[each.service](address, port)
                found += [f"{each.service}: {login}" for login in logins]
    return tuple(found)


def _grafana_logins(host: str, port: int) -> list[str]:
    """Try only four: after five failures Grafana locks a user out for minutes."""
    working = []
    for password in ("admin", "grafana", "password", "prom-operator"):
        try:
            status = grafana_status(f"http://{host}:{port}", password)
        except OSError as error:
            raise StackError(f"Grafana does not answer: {error}") from error
        if status == HTTPStatus.OK:
            working.append(f"admin with {password}")
        elif status != HTTPStatus.UNAUTHORIZED:
            raise StackError(f"Grafana answers {status} to a login")
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
