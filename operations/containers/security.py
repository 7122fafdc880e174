"""Security figures of the running containers (`make security`).

Each is a count that should be 0. Otherwise the items are listed below it and the exit code is 1.
The figures come from the engine's description of the running containers, not from the compose
files. Default passwords are tried for real.
"""

import ipaddress
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlstack import command_line, environments
from mlstack.command_line import say
from mlstack.settings import Settings
from operations.alerting.receivers import Receivers
from operations.containers import credentials
from operations.containers.default_passwords import find_default_passwords
from operations.containers.engine import Compose
from operations.containers.inspection import Inspected, inspect_running
from operations.containers.ownership import Project
from operations.errors import StackError
from operations.stack import runs_in_containers

ROOT_IMAGES: Mapping[str, str] = {
    "mongo": "starts as root to own its volume, then becomes its user mongodb",
    "localstack/localstack": "the emulator starts processes and writes system folders; env=local",
}
"""Public images whose containers may run as root, with the reason."""

PUBLIC: Mapping[str, frozenset[int]] = {"proxy": frozenset({80, 443})}
"""Ports that may be reachable from outside: those of the encrypting proxy."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A count that should be 0; `found` has one line per item."""

    what: str
    found: tuple[str, ...]


def figures(containers: Sequence[Inspected], secrets: Mapping[str, str]) -> list[Figure]:
    """Count what the engine's description shows.

    `secrets` are values, by name, that must not appear in an environment.
    """
    ours = [each for each in containers if each.is_ours]

    def lacking(what: str, has: Callable[[Inspected], bool]) -> Figure:
        return Figure(what, tuple(each.service for each in ours if not has(each)))

    def listing(what: str, found: Callable[[Inspected], Iterable[str]]) -> Figure:
        lines = (f"{each.service}: {line}" for each in containers for line in found(each))
        return Figure(what, tuple(lines))

    return [
        listing("ports outside loopback", _outside_ports),
        lacking("project containers that run as root", lambda each: not each.is_root),
        listing(
            "public images that run as root without a stated reason",
            lambda each: (
                [each.image]
                if each.is_root and not each.is_ours and each.image not in ROOT_IMAGES
                else []
            ),
        ),
        listing("added capabilities", lambda each: each.added_capabilities),
        lacking("project containers with capabilities", lambda each: each.drops_all_capabilities),
        lacking(
            "project containers that can gain privileges", lambda each: each.gains_no_privileges
        ),
        lacking(
            "project containers with a writable root file system",
            lambda each: each.has_read_only_root,
        ),
        listing("host resources in containers", lambda each: each.parts_of_machine),
        listing(
            "secrets in environment variables",
            lambda each: [
                f"{variable} has {name}"
                for variable, value in each.variables.items()
                for name, secret in secrets.items()
                if secret in value
            ],
        ),
    ]


def find_open_files(folder: Path) -> tuple[str, ...]:
    """List secret files that users other than their owner can read or write."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    modes = ((path.relative_to(folder), path.stat().st_mode & 0o777) for path in paths)
    return tuple(f"{name}: {mode:o}" for name, mode in modes if mode & 0o077)


def report(counted: Iterable[Figure]) -> bool:
    """Print each figure and return whether all are 0."""
    fine = True
    for figure in counted:
        say(f"  {len(figure.found):>3} {figure.what}")
        for line in figure.found:
            fine = False
            say(f"        {line}")
    return fine


def _outside_ports(container: Inspected) -> list[str]:
    return [
        f"{host or 'every address'} port {port}"
        for host, port in container.ports
        if not (host and ipaddress.ip_address(host).is_loopback)
        and port not in PUBLIC.get(container.service, ())
    ]


def _secrets(settings: Settings) -> dict[str, str]:
    own = {name: credentials.read(credentials.FOLDER / name) for name in credentials.NAMES}
    drawn = {name: secret for name, secret in own.items() if secret}
    return {**drawn, **Receivers.load(settings).secrets}


def main() -> int:
    """Print every figure; return 1 if one is not 0."""
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    if not runs_in_containers(environment):
        raise StackError(f"env={environment} has no containers: make security env=local")
    # Trying passwords on another clone's services could lock its users out.
    Project(Compose()).require()
    containers = inspect_running()
    say(f"{len(containers)} containers of env={environment}")
    fine = report(
        [
            *figures(containers, _secrets(settings)),
            Figure("secrets that others can read", find_open_files(credentials.FOLDER)),
            Figure("default passwords that work", find_default_passwords(containers)),
        ]
    )
    for each in containers:
        if each.is_root and each.image in ROOT_IMAGES:
            say(f"  public image as root: {each.image}: {ROOT_IMAGES[each.image]}")
    untried = sorted({"grafana", "mongo"} - {each.service for each in containers if each.ports})
    if untried:
        say(f"  not tried, because they publish no port: a login to {' and '.join(untried)}")
    return 0 if fine else 1


if __name__ == "__main__":
    command_line.run(main)
