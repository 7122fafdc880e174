"""Find out whether another clone's services hold this clone's ports.

Commands reach services by their ports. If two clones or users have the same ones, a command could
change the other's models and predictions.
"""

from collections.abc import Iterable
from pathlib import Path

import psutil

from operations.embedded import processes
from operations.embedded.service import Service
from operations.errors import StackError
from operations.machine import ports


def require_own_ports(stack: Path, services: Iterable[Service]) -> None:
    """Raise StackError if another clone, or another user, holds the port of a service."""
    if foreign := describe_foreign(stack, services):
        raise StackError(foreign)


def describe_foreign(stack: Path, services: Iterable[Service]) -> str:
    """Say who holds ports of this clone and what to do; empty if nobody else does.

    A process of this user that no clone has started, such as a server started by hand, counts as
    this clone's.
    """
    holders = ports.listening()
    held: dict[str, list[str]] = {}
    for service in services:
        if service.port in holders and (whose := _owner(stack, holders[service.port])):
            held.setdefault(whose, []).append(f"{service.port_variable}={service.port}")
    return "; ".join(
        f"{', '.join(settings)}: held by {whose}: run make there, or choose other ports here"
        for whose, settings in held.items()
    )


def _owner(stack: Path, pid: int | None) -> str:
    """Describe the owner of a process; empty if it is this clone, or none is known."""
    if pid is None:
        return "another user's process, or a container"
    try:
        process = psutil.Process(pid)
        if not processes.is_foreign(process, stack):
            return ""
        return f"the clone in {process.cwd()} (process {pid})"
    except psutil.NoSuchProcess:
        return ""
    except psutil.AccessDenied:
        return f"another user's process ({pid})"
