"""Find and end the stack's own processes, which are never told by a name.

Every process of the stack inherits two environment variables: its checkout and its service.
Children that outlive a killed parent still carry them. The process that starts a service is also
recorded by pid and start time, because pids are used again.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from mlstack.files import write_atomically
from mlstack.waiting import Unavailable, wait_until
from operations.errors import StackError

STACK_VARIABLE = "MLSTACK_STACK"
SERVICE_VARIABLE = "MLSTACK_SERVICE"

# Start times are computed from the boot time, which moves a little when the clock is set.
_SAME_START_SECONDS = 2.0
_ROUNDS = 5


def marker(stack: Path, service: str) -> dict[str, str]:
    """Return the variables that mark a process and its descendants.

    Args:
        stack: The checkout's state folder, absolute.
        service: The service that the process is part of.
    """
    return {STACK_VARIABLE: str(stack), SERVICE_VARIABLE: service}


@dataclass(frozen=True, slots=True)
class Identity:
    """A process by pid and start time (Unix), so that a reused pid is another one."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a live process."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None: there is none, or it is not whole."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Record the identity; readers never see a part of it."""
        # It need not survive a power cut: the process does not either.
        write_atomically(path, json.dumps(asdict(self)).encode(), sync=False)

    def process(self) -> psutil.Process | None:
        """Return the process; None: it has ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _SAME_START_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


def find_by_service(stack: Path) -> dict[str, list[psutil.Process]]:
    """Return the live processes of a stack by service, without the caller and its ancestors."""
    found: dict[str, list[psutil.Process]] = {}
    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process, environment in _environments():
        if environment.get(STACK_VARIABLE) == str(stack) and process.pid not in myself:
            found.setdefault(environment.get(SERVICE_VARIABLE, ""), []).append(process)
    return found


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """End processes by SIGTERM, and after the grace period by SIGKILL."""
    left = list(processes)
    for process in left:
        _signal(process, psutil.Process.terminate)
    _, left = psutil.wait_procs(left, timeout=grace_seconds)
    for process in left:
        _signal(process, psutil.Process.kill)
    psutil.wait_procs(left, timeout=5)


def end_service(stack: Path, service: str | None, grace_seconds: float) -> int:
    """End every process of a service; return how many there were.

    Args:
        stack: The checkout's state folder.
        service: One service; None: the whole stack.
        grace_seconds: Time between SIGTERM and SIGKILL.

    Raises:
        StackError: a process survives SIGKILL.
    """
    ended: set[int] = set()
    # A process may have started another one since they were listed.
    for _ in range(_ROUNDS):
        left = [
            process
            for name, processes in find_by_service(stack).items()
            if service in (None, name)
            for process in processes
        ]
        if not left:
            return len(ended)
        end(left, grace_seconds)
        ended.update(process.pid for process in left)
    pids = ", ".join(str(process.pid) for process in left)
    raise StackError(f"these processes do not end, not even by SIGKILL: {pids}")


def outside_group(processes: Iterable[psutil.Process], leader: int) -> list[psutil.Process]:
    """Return the processes that are not in the process group of a leader."""
    outside = []
    for process in processes:
        try:
            if os.getpgid(process.pid) != leader:
                outside.append(process)
        except ProcessLookupError:
            continue
    return outside


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of processes; shared pages count for each."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def wait_until_ended(process: psutil.Process, seconds: float) -> bool:
    """Return whether a process, which need not be our child, ends in time."""
    identity = Identity(process.pid, process.create_time())
    with suppress(Unavailable):
        return wait_until(lambda: identity.process() is None, "it runs", seconds, every=0.05)
    return False


def _environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    user = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # It ended, or the system hides it, which it never does with our own.
            continue


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
