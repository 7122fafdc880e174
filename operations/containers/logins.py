"""Find out whether services still accept the passwords in `.secrets/`.

MongoDB and Grafana read their passwords only when their volume is new. If the file is edited later,
or restored without the volume, they keep the old one.
"""

import base64
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mlstack.files import write_atomically
from mlstack.prediction_log.mongo_database import AUTHENTICATION_FAILED
from operations.containers import credentials
from operations.containers.engine import Container, docker

_SECONDS = 5
_TRIED = "grafana_login.json"
"""Grafana's answer to the last password: after five failures it locks the account for minutes."""


def find_refused(
    services: Mapping[str, Any],
    containers: Mapping[str, Sequence[Container]],
    volumes: Mapping[str, str],
    *,
    again: bool,
) -> dict[str, str]:
    """Return the running services that refuse the password of their file, with the ways out.

    `services`, `containers` and `volumes` are those of the project, by their names in the compose
    files. A password that Grafana has refused is only tried `again` on request.
    """
    refused = {}
    for name, service in credentials.REMEMBERED_BY.items():
        path = credentials.FOLDER / name
        password = credentials.read(path)
        is_running = any(each.state == "running" for each in containers.get(service, ()))
        if not is_running or not password:
            continue
        published = services[service]["ports"][0]
        host, port = reachable(published.get("host_ip", "")), int(published["published"])
        if service == "mongo":
            is_refused = _mongo_refuses(host, port, password)
        else:
            is_refused = _grafana_refuses(f"http://{host}:{port}", password, again=again)
        if is_refused:
            refused[service] = (
                f"{service} refuses the password in {path}: volume {volumes[service]} was created "
                f"with another one: {credentials.ways_out(name, volumes[service])}"
            )
    return refused


def is_engine_here() -> bool:
    """Whether the engine publishes ports on this machine."""
    host = docker("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    return host.startswith("unix:")


def reachable(host: str) -> str:
    """Return the address that reaches a port published at `host`."""
    return "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104 - compared


def grafana_status(address: str, password: str) -> int:
    """Return how Grafana answers a login as its administrator; raise OSError if it does not."""
    login = base64.b64encode(f"admin:{password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - always http
        f"{address}/api/user", headers={"Authorization": f"Basic {login}"}
    )
    # A proxy could not reach this machine's addresses.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _mongo_refuses(host: str, port: int, password: str) -> bool:
    client: MongoClient[dict[str, Any]] = MongoClient(
        host,
        port,
        username="root",
        password=password,
        authSource="admin",
        directConnection=True,
        serverSelectionTimeoutMS=_SECONDS * 1000,
        socketTimeoutMS=_SECONDS * 1000,
    )
    with client:
        try:
            client.admin.command("ping")
        except OperationFailure as error:
            return error.code == AUTHENTICATION_FAILED
        except PyMongoError:
            return False  # its health check reports that it does not answer
    return False


def _grafana_refuses(address: str, password: str, *, again: bool) -> bool:
    tried = credentials.FOLDER / _TRIED
    digest = hashlib.sha256(password.encode()).hexdigest()
    last = _read(tried)
    if not again and last.get("password") == digest:
        return bool(last["refused"])
    try:
        status = grafana_status(address, password)
    except OSError:
        return False  # its health check reports that it does not answer
    if status not in (HTTPStatus.OK, HTTPStatus.UNAUTHORIZED):
        return False
    refused = status == HTTPStatus.UNAUTHORIZED
    document = json.dumps({"password": digest, "refused": refused})
    write_atomically(tried, document.encode(), sync=False, mode=0o600)
    return refused


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}
