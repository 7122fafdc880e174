"""Checks what the embedded services need of this machine: `make doctor`.

Usage: python -m operations.embedded.doctor

Each line says ok or what to do; the exit code is 1 when something stands in the way.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from importlib import metadata
from pathlib import Path

import psutil
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlstack.environments import load
from mlstack.errors import MlstackError
from mlstack.settings import ROOT, Settings
from operations.embedded import layout, processes
from operations.embedded.before_install import RUN_GIB, too_little_disk, wrong_python
from operations.embedded.services import EVERYWHERE, HERE, Service, all_services
from operations.machine import memory, ports
from operations.machine.findings import Finding, bad_contract, report

FREE_MEMORY_GIB = 3.0
_GIB = 1024**3
_LOCK = ROOT / "requirements" / "embedded.txt"
_SHOWN = 5


def examine(settings: Settings) -> Iterator[Finding]:
    """Runs every check."""
    services = all_services(settings)
    own = [process for group in processes.marked(layout.STACK).values() for process in group]
    yield Finding("Python", wrong_python())
    yield Finding("packages", _wrong_packages(_LOCK.read_text()))
    yield Finding("disk", too_little_disk(ROOT, RUN_GIB))
    yield Finding("memory", _too_little_memory(own))
    yield Finding("contract", bad_contract(settings))
    address = wrong_address(settings.bind_address)
    yield Finding("BIND_ADDRESS", address)
    yield Finding("different ports", shared_ports(services))
    if address is not None:
        return
    own_pids = {process.pid for process in own}
    for service in services:
        if service.lacks:
            yield Finding(service.name, service.lacks, optional=True)
        elif service.port:
            yield Finding(f"port {service.port} ({service.name})", taken_port(service, own_pids))


def taken_port(service: Service, own_pids: set[int]) -> str | None:
    """Who else holds a service's port, and how to choose another; None: nobody."""
    if ports.is_free(service.host, service.port):
        return None
    holder = ports.holding_process(service.port)
    if holder is not None and holder.pid in own_pids:
        return None
    another = ports.next_free(service.host, service.port)
    return (
        f"it is taken by {ports.holder(service.port)}: end that, or choose another port: "
        f"make demo {service.port_variable}={another or '...'}"
    )


def shared_ports(services: Iterable[Service]) -> str | None:
    """Which services were given the same port; None: none."""
    by_port: dict[int, list[str]] = {}
    for service in services:
        if service.port:
            by_port.setdefault(service.port, []).append(service.port_variable)
    shared = [" and ".join(names) for names in by_port.values() if len(names) > 1]
    return f"{'; '.join(shared)} are the same port: give each its own" if shared else None


def wrong_address(address: str) -> str | None:
    """Why the services cannot listen there and find each other; None: they can."""
    if address in (HERE, EVERYWHERE):
        return None
    return (
        f"the services find each other at {HERE}: set BIND_ADDRESS={HERE} (only this machine) or "
        f"BIND_ADDRESS={EVERYWHERE} (everybody who reaches this machine; there are no logins)"
    )


def missing_packages(lock: str, installed: Callable[[str], str | None]) -> list[str]:
    """Which packages of a lock are missing or have another version.

    Args:
        lock: Text of a requirements file with hashes.
        installed: Version of an installed package by name; None: it is not installed.

    Returns:
        Each as a sentence.
    """
    wrong = []
    for line in lock.splitlines():
        if not line or line[0] in "# ":
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        there = installed(canonicalize_name(requirement.name))
        if there is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(there, prereleases=True):
            wrong.append(f"{requirement.name} is {there}, not {requirement.specifier}")
    return wrong


def _wrong_packages(lock: str) -> str | None:
    versions: dict[str, str] = {
        canonicalize_name(found.name): found.version for found in metadata.distributions()
    }
    wrong = missing_packages(lock, versions.get)
    if not wrong:
        return None
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return (
        f"{Path(sys.prefix)} does not match {_LOCK.relative_to(ROOT)}: "
        f"{', '.join(wrong[:_SHOWN])}{more}; remove it and run the target again"
    )


def _too_little_memory(own: list[psutil.Process]) -> str | None:
    # What the stack itself uses already is not in its way.
    available = memory.available_bytes() + processes.memory_bytes(own)
    if available >= FREE_MEMORY_GIB * _GIB:
        return None
    return (
        f"{available / _GIB:.1f} GiB are available, and {FREE_MEMORY_GIB:g} are needed: end what "
        "you can do without"
    )


def main() -> None:
    """Entry point of `make doctor`."""
    if not report(examine(load("embedded")), print):
        sys.exit("Something stands in the way: see the lines with NO.")


if __name__ == "__main__":
    try:
        main()
    except MlstackError as error:
        sys.exit(str(error))
