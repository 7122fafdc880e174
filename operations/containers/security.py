"""Security figures of the containers that run: `make security`.

Usage: python -m operations.containers.security

Each is a number that should be 0; where one is not, what it counts stands below it and the exit
code is 1. They come from what the engine says of the running containers, not from the compose
files, and passwords are really tried.
"""

import base64
import ipaddress
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from mlstack import environments
from mlstack.errors import MlstackError
from operations.containers import credentials
from operations.containers.engine import Compose, docker
from operations.containers.errors import ContainerError

AS_ROOT: Mapping[str, str] = {
    "mongo": "starts as root to own its volume, then goes over to its user mongodb",
    "localstack/localstack": "the emulator starts processes and writes system folders; env=local",
}
"""Public images whose containers may run as root, and why."""

PUBLIC: Mapping[str, frozenset[int]] = {"proxy": frozenset({80, 443})}
"""Which service may be reached from outside, on which ports: the one that encrypts."""

_OWN = "mlstack/"
_GUESSES = ("admin", "password", "example", "changeme", "root", "mongo", "grafana")
_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Figure:
    """Something that there should be none of.

    Args:
        what: What is counted.
        found: What there is of it, one line each.
    """

    what: str
    found: tuple[str, ...]


class Inspected:
    """A running container.

    Args:
        document: What `docker inspect` says.
        uids: The users that its processes run as, on the machine.
    """

    def __init__(self, document: Mapping[str, Any], uids: Iterable[int]) -> None:
        self._document, self._uids = document, frozenset(uids)
        self._host: Mapping[str, Any] = document["HostConfig"]

    @property
    def service(self) -> str:
        """The compose file's name of it."""
        return str(self._document["Config"]["Labels"]["com.docker.compose.service"])

    @property
    def image(self) -> str:
        """Its image without the version."""
        name = str(self._document["Config"]["Image"]).partition("@")[0]
        place, slash, last = name.rpartition("/")
        return f"{place}{slash}{last.partition(':')[0]}"

    @property
    def is_ours(self) -> bool:
        """Whether its image is built by this project."""
        return self.image.startswith(_OWN)

    @property
    def is_root(self) -> bool:
        """Whether it is started as root, or a process in it runs as root."""
        user = str(self._document["Config"].get("User") or "0").partition(":")[0]
        return user in ("0", "root") or 0 in self._uids

    @property
    def ports(self) -> list[tuple[str, int]]:
        """Addresses and ports of the machine that lead to it."""
        published = self._document["NetworkSettings"]["Ports"] or {}
        return [
            (binding["HostIp"], int(binding["HostPort"]))
            for bindings in published.values()
            for binding in bindings or ()
        ]

    @property
    def added_capabilities(self) -> list[str]:
        """What it may do beyond what every container may."""
        added = list(self._host["CapAdd"] or ())
        return ["all: it is privileged", *added] if self._host["Privileged"] else added

    @property
    def drops_all_capabilities(self) -> bool:
        """Whether it may do nothing that root may."""
        return "ALL" in (self._host["CapDrop"] or ())

    @property
    def has_read_only_root(self) -> bool:
        """Whether nothing but its volumes can be written."""
        return bool(self._host["ReadonlyRootfs"])

    @property
    def gains_no_privileges(self) -> bool:
        """Whether no program in it can give its caller more than it has."""
        options = self._host["SecurityOpt"] or ()
        return bool({"no-new-privileges", "no-new-privileges:true"} & set(options))

    @property
    def parts_of_the_machine(self) -> list[str]:
        """Namespaces of the machine that it is in, and the engine's socket."""
        shared = [
            name for name in ("NetworkMode", "PidMode", "IpcMode") if self._host[name] == "host"
        ]
        sources = [mount.get("Source", "") for mount in self._document["Mounts"]]
        return shared + [source for source in sources if source.endswith("docker.sock")]

    @property
    def variables(self) -> dict[str, str]:
        """The environment that it was made with."""
        pairs = (line.partition("=") for line in self._document["Config"]["Env"])
        return {name: value for name, _, value in pairs}


def figures(containers: Sequence[Inspected], secrets: Mapping[str, str]) -> list[Figure]:
    """Counts what can be told from the engine's description.

    Args:
        containers: Those of this project that run.
        secrets: Values by name, which no environment should have.
    """
    ours = [each for each in containers if each.is_ours]

    def lacking(what: str, has: Callable[[Inspected], bool]) -> Figure:
        return Figure(what, tuple(each.service for each in ours if not has(each)))

    return [
        Figure(
            "ports outside loopback",
            tuple(
                f"{each.service}: {host or 'every address'} port {port}"
                for each in containers
                for host, port in each.ports
                if not _is_loopback(host) and port not in PUBLIC.get(each.service, ())
            ),
        ),
        lacking("of our containers as root", lambda each: not each.is_root),
        Figure(
            "public images as root without a reason",
            tuple(
                f"{each.service}: {each.image}"
                for each in containers
                if each.is_root and not each.is_ours and each.image not in AS_ROOT
            ),
        ),
        Figure(
            "added capabilities",
            tuple(
                f"{each.service}: {name}" for each in containers for name in each.added_capabilities
            ),
        ),
        lacking("of our containers with capabilities", lambda each: each.drops_all_capabilities),
        lacking(
            "of our containers that can gain privileges", lambda each: each.gains_no_privileges
        ),
        lacking("of our containers with a writable root", lambda each: each.has_read_only_root),
        Figure(
            "parts of the machine in containers",
            tuple(
                f"{each.service}: {part}"
                for each in containers
                for part in each.parts_of_the_machine
            ),
        ),
        Figure(
            "secrets in an environment",
            tuple(
                f"{each.service}: {variable} has {name}"
                for each in containers
                for variable, value in each.variables.items()
                for name, secret in secrets.items()
                if secret in value
            ),
        ),
    ]


def open_files(folder: Path) -> Figure:
    """Files of secrets that others than their owner can read or write."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = tuple(
        f"{path.relative_to(folder)}: {path.stat().st_mode & 0o777:o}"
        for path in paths
        if _is_open(path)
    )
    return Figure("secrets that others can read", found)


def default_passwords(containers: Sequence[Inspected]) -> Figure:
    """Tries what everybody tries, wherever a login is asked for.

    Raises:
        ContainerError: a service cannot be asked just now, so nothing can be said.
    """
    found: list[str] = []
    for each in containers:
        attempts = {"grafana": _grafana, "mongo": _mongo}.get(each.service)
        for host, port in each.ports if attempts else ():
            address = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104
            if ":" not in address and attempts is not None:
                found += [f"{each.service}: {login}" for login in attempts(address, port)]
    return Figure("default passwords that work", tuple(found))


def _grafana(host: str, port: int) -> list[str]:
    """Logins that work; four, because after five failures Grafana bars a user for minutes."""
    working = []
    for password in ("admin", "grafana", "password", "prom-operator"):
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{host}:{port}/api/user", headers={"Authorization": f"Basic {login}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
                working.append(f"admin with {password}")
        except urllib.error.HTTPError as error:
            if error.code != 401:  # noqa: PLR2004 - HTTP's 'unauthorized'
                raise ContainerError(f"Grafana answers {error.code} to a login") from error
        except OSError as error:
            raise ContainerError(f"Grafana cannot be asked: {error}") from error
    return working


def _mongo(host: str, port: int) -> list[str]:
    """Logins that work."""
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
                raise ContainerError(f"MongoDB cannot be asked: {error}") from error
        working.append(name)
    return working


def report(counted: Iterable[Figure], say: Callable[[str], None]) -> bool:
    """Says each figure; returns whether all are 0."""
    fine = True
    for figure in counted:
        say(f"  {len(figure.found):>3} {figure.what}")
        for line in figure.found:
            fine = False
            say(f"        {line}")
    return fine


def _is_loopback(host: str) -> bool:
    return host != "" and ipaddress.ip_address(host).is_loopback


def _is_open(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o077)


def _inspect(compose: Compose) -> list[Inspected]:
    ids = [each.id for each in compose.containers().values() if each.state == "running"]
    if not ids:
        raise ContainerError("nothing runs that could be looked at: make setup-model-serve")
    return [
        Inspected(document, _uids(document["Id"]))
        for document in json.loads(docker("inspect", *ids))
    ]


def _uids(container: str) -> set[int]:
    _, *lines = docker("top", container, "-eo", "uid,pid").splitlines()
    return {int(line.split()[0]) for line in lines}


def _secrets() -> dict[str, str]:
    paths = [credentials.FOLDER / name for name in credentials.NAMES]
    return {path.name: path.read_text(encoding="ascii").strip() for path in paths if path.exists()}


def main() -> int:
    """Entry point.

    Raises:
        MlstackError: the containers cannot be looked at.
    """
    environment = os.environ[environments.NAME_VARIABLE]
    if not os.environ.get("COMPOSE_FILE"):
        raise ContainerError(f"env={environment} has no containers: make security env=local")
    environments.load(environment)
    containers = sorted(_inspect(Compose()), key=lambda each: each.service)
    _say(f"{len(containers)} containers of env={environment}")
    fine = report(
        [
            *figures(containers, _secrets()),
            open_files(credentials.FOLDER),
            default_passwords(containers),
        ],
        _say,
    )
    for each in containers:
        if each.is_root and not each.is_ours and each.image in AS_ROOT:
            _say(f"  public image as root: {each.image}: {AS_ROOT[each.image]}")
    missing = sorted({"grafana", "mongo"} - {each.service for each in containers if each.ports})
    if missing:
        _say(f"  not tried, because it cannot be reached here: a login to {' and '.join(missing)}")
    return 0 if fine else 1


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlstackError as error:
        sys.exit(str(error))
