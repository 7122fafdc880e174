"""Find and end the stack's own processes, never by name.

Every process of the stack inherits two environment variables that name its checkout and its
service. Orphaned children still have them. The process that starts a service is also recorded by
pid and start time, because pids are reused.
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

# Start times depend on the boot time, which shifts slightly when the clock is set.
_SAME_START_SECONDS = 2.0
_ROUNDS = 5


def marker(stack: Path, service: str) -> dict[str, str]:
    """Return variables that mark a process and its descendants; `stack` is absolute."""
    return {STACK_VARIABLE: str(stack), SERVICE_VARIABLE: service}


@dataclass(frozen=True, slots=True)
class Identity:
    """A process by pid and start time (Unix), which tells reused pids apart."""

    pid: int
    started: float

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a live process."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None if it is missing or incomplete."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Record the identity atomically."""
        # No sync, because the process does not survive a power cut either.
        write_atomically(path, json.dumps(asdict(self)).encode(), sync=False)

    def process(self) -> psutil.Process | None:
        """Return the process; None if it has ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _SAME_START_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


def find_by_service(stack: Path) -> dict[str, list[psutil.Process]]:
    """Return a stack's live processes by service, without the caller and ancestors."""
    found: dict[str, list[psutil.Process]] = {}
    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process, environment in _environments():
        if environment.get(STACK_VARIABLE) == str(stack) and process.pid not in myself:
            found.setdefault(environment.get(SERVICE_VARIABLE, ""), []).append(process)
    return found


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Send SIGTERM to processes, and SIGKILL after the grace period."""
    left = list(processes)
    for process in left:
        _signal(process, psutil.Process.terminate)
    _, left = psutil.wait_procs(left, timeout=grace_seconds)
    for process in left:
        _signal(process, psutil.Process.kill)
    psutil.wait_procs(left, timeout=5)


def end_service(stack: Path, service: str | None, grace_seconds: float) -> int:
    """End the processes of a service (None: of the stack); return their number.

    Raises StackError if a process survives SIGKILL, sent after the grace period.
    """
    ended: set[int] = set()
    # A process may have started another one after the listing.
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
    raise StackError(f"these processes do not end, even after SIGKILL: {pids}")


def outside_group(processes: Iterable[psutil.Process], leader: int) -> list[psutil.Process]:
    """Return the processes outside a leader's process group."""
    outside = []
    for process in processes:
        try:
            if os.getpgid(process.pid) != leader:
                outside.append(process)
        except ProcessLookupError:
            continue
    return outside


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of processes, with shared pages once per process."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def wait_until_ended(process: psutil.Process, seconds: float) -> bool:
    """Return whether a process, which need not be a child, ends in time."""
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
            # It has ended, or the system hides it, which it never does with our own.
            continue


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
