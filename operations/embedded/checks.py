"""Check whether this machine can run the embedded services, for `make doctor`."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mlstack.settings import ROOT, Settings
from operations.alerting.receivers import receivers_finding
from operations.embedded import layout, processes
from operations.embedded.service import EVERYWHERE, HERE, Service
from operations.embedded.services import all_services
from operations.install.before_install import RUN_GIB, disk_fault, path_fault, python_fault
from operations.machine import ports
from operations.machine.findings import Finding, contract_fault, memory_fault, table_finding

FREE_MEMORY_GIB = 3.0
_LOCK = ROOT / "requirements" / "embedded.txt"
_SHOWN = 5


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check."""
    services = all_services(settings)
    own = [
        process for group in processes.find_by_service(layout.STACK).values() for process in group
    ]
    yield Finding("folder", path_fault(ROOT))
    yield Finding("Python", python_fault())
    yield Finding("packages", _packages_fault(_LOCK.read_text()))
    yield Finding("disk", disk_fault(ROOT, RUN_GIB))
    yield Finding("memory", memory_fault(FREE_MEMORY_GIB, processes.memory_bytes(own)))
    yield Finding("contract", contract_fault(settings))
    yield table_finding(settings, reaches_s3=True)
    yield receivers_finding(settings)
    address = address_fault(settings.bind_address)
    yield Finding("BIND_ADDRESS", address)
    yield Finding("different ports", shared_ports_fault(services))
    if address is not None:
        return
    own_pids = {process.pid for process in own}
    for service in services:
        if service.lacks:
            yield Finding(service.name, service.lacks, optional=True)
        elif service.port:
            yield Finding(f"port {service.port} ({service.name})", port_fault(service, own_pids))


def port_fault(service: Service, own_pids: set[int]) -> str | None:
    """Return who else holds a service's port and what to do; None if nobody does."""
    if ports.is_free(service.host, service.port):
        return None
    holder = ports.holding_process(service.port)
    if holder is not None and holder.pid in own_pids:
        return None
    another = ports.next_free(service.host, service.port)
    return (
        f"it is in use by {ports.holder(service.port)}: stop it, or choose another port: "
        f"make demo {service.port_variable}={another or '...'}"
    )


def shared_ports_fault(services: Iterable[Service]) -> str | None:
    """Return which services have the same port; None if none do."""
    by_port: dict[int, list[str]] = {}
    for service in services:
        if service.port:
            by_port.setdefault(service.port, []).append(service.port_variable)
    shared = [" and ".join(names) for names in by_port.values() if len(names) > 1]
    return f"{'; '.join(shared)} are the same port: give each a port of its own" if shared else None


def address_fault(address: str) -> str | None:
    """Return why services at an address cannot reach each other; None if they can."""
    if address in (HERE, EVERYWHERE):
        return None
    return (
        f"the services reach each other at {HERE}: set BIND_ADDRESS={HERE} (only this machine) or "
        f"BIND_ADDRESS={EVERYWHERE} (anyone who can reach this machine; there are no logins)"
    )


def wrong_packages(lock: str, installed: Mapping[str, str]) -> list[str]:
    """Describe packages of a lock that are missing or have the wrong version.

    `lock` is the text of a requirements file; `installed` has versions by package name.
    """
    wrong = []
    for line in lock.splitlines():
        if not line or line[0] in "# ":
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = installed.get(canonicalize_name(requirement.name))
        if version is None:
            wrong.append(f"{requirement.name} is missing")
        elif not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} is {version}, not {requirement.specifier}")
    return wrong


def _packages_fault(lock: str) -> str | None:
    versions: dict[str, str] = {
        canonicalize_name(found.name): found.version for found in metadata.distributions()
    }
    wrong = wrong_packages(lock, versions)
    if not wrong:
        return None
    more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
    return (
        f"{Path(sys.prefix)} does not match {_LOCK.relative_to(ROOT)}: "
        f"{', '.join(wrong[:_SHOWN])}{more}; remove it and run the target again"
    )
