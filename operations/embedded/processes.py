"""The stack's own processes, told from all others by what they carry, never by a name.

Every process of the stack inherits two environment variables: which checkout it belongs to
and which service it is part of. Children that outlive a killed parent still carry them. The
process that starts a service is recorded too, as pid and start time: a pid alone may
belong to someone else by now.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from mlstack.files import write_atomically
from operations.embedded.errors import StackError

STACK_VARIABLE = "MLSTACK_STACK"
SERVICE_VARIABLE = "MLSTACK_SERVICE"

# A start time is worked out from the boot time, which moves a little as clocks are set.
_SAME_START_SECONDS = 2.0
_ROUNDS = 5


def marker(stack: Path, service: str) -> dict[str, str]:
    """The variables that mark a process and all that descend from it.

    Args:
        stack: The checkout's state folder, absolute.
        service: Which service the process is part of.
    """
    return {STACK_VARIABLE: str(stack), SERVICE_VARIABLE: service}


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, beyond the reuse of its pid."""

    pid: int
    started: float
    """Unix time of its start."""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identity of a live process."""
        return cls(pid, psutil.Process(pid).create_time())

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Reads a record; None: there is none, or what is there was cut short."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, json.JSONDecodeError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Records the identity; readers see the old record or the new one, never a part."""
        # After a power cut the process is gone, and the record with it.
        write_atomically(path, json.dumps(asdict(self)).encode(), sync=False)

    def process(self) -> psutil.Process | None:
        """The process, when it is still the one that was recorded and has not ended."""
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _SAME_START_SECONDS:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


def marked(stack: Path) -> dict[str, list[psutil.Process]]:
    """Every live process of a stack by service, without the caller and its ancestors."""
    found: dict[str, list[psutil.Process]] = {}
    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process, environment in _environments():
        if environment.get(STACK_VARIABLE) == str(stack) and process.pid not in myself:
            found.setdefault(environment.get(SERVICE_VARIABLE, ""), []).append(process)
    return found


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Ends processes: asks by SIGTERM, and after the grace period ends what is left."""
    left = list(processes)
    for process in left:
        _signal(process, psutil.Process.terminate)
    _, left = psutil.wait_procs(left, timeout=grace_seconds)
    for process in left:
        _signal(process, psutil.Process.kill)
    psutil.wait_procs(left, timeout=5)


def end_service(stack: Path, service: str | None, grace_seconds: float) -> int:
    """Ends all that carries a service's marker, until nothing of it is left.

    Args:
        stack: The checkout's state folder.
        service: One service; None: all of the stack.
        grace_seconds: What the processes get to end by themselves.

    Returns:
        How many processes were ended.

    Raises:
        StackError: one of them cannot be ended, not even by SIGKILL.
    """
    ended: set[int] = set()
    # What is being ended may have started one more process since it was listed.
    for _ in range(_ROUNDS):
        left = [
            process
            for name, processes in marked(stack).items()
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
    """Those of the processes that are not in the process group of a leader."""
    outside = []
    for process in processes:
        try:
            if os.getpgid(process.pid) != leader:
                outside.append(process)
        except ProcessLookupError:
            continue
    return outside


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Resident memory of processes together; pages that they share count for each."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def wait_until_ended(process: psutil.Process, seconds: float) -> bool:
    """Whether a process that need not be our child ends within the time."""
    identity = Identity(process.pid, process.create_time())
    deadline = time.monotonic() + seconds
    while identity.process() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    user = os.getuid()
    for process in psutil.process_iter():
        try:
            if process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE:
                yield process, process.environ()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            # It ended meanwhile; or the system hides it, which it never does with ours.
            continue


def _signal(process: psutil.Process, send: Callable[[psutil.Process], None]) -> None:
    try:
        send(process)
    except psutil.NoSuchProcess:
        return
