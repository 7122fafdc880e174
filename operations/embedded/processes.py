"""Find and end the stack's own processes, never by name.

Every process of the stack inherits two environment variables: the id of its clone and its service.
Orphaned children still have them. The process that becomes a service is also recorded, by pid and
birth. None of this changes when the clock is set, the machine sleeps or the folder is renamed.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import psutil

from mlstack.files import write_atomically
from mlstack.machine_clock import boot_id
from mlstack.waiting import Unavailable, wait_until
from operations.clone import identify
from operations.embedded import layout
from operations.errors import StackError

STACK_VARIABLE = "MLSTACK_STACK"
SERVICE_VARIABLE = "MLSTACK_SERVICE"

_ROUNDS = 5
_EXEC_SECONDS = 0.5
# Of /proc/PID/stat, among the fields after the command's name, which may contain spaces. In ticks.
_START_FIELD = 19


def marker(stack: Path, service: str) -> dict[str, str]:
    """Return variables that mark a process and its descendants.

    `stack` is the state folder in the clone's folder.
    """
    return {STACK_VARIABLE: identify(stack.parent).id, SERVICE_VARIABLE: service}


@dataclass(frozen=True, slots=True)
class Identity:
    """A process, known by its pid and its birth, because pids are reused.

    Args:
        pid: Process id.
        started: Start time by the system clock, for people; never compared.
        born: Start in ticks since boot, and the id of that boot. Empty in records of the release
            before.
    """

    pid: int
    started: float
    born: str = ""

    @classmethod
    def of(cls, pid: int) -> Self:
        """Identify a live process."""
        return cls(pid, psutil.Process(pid).create_time(), _born(pid))

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read a record; None if it is missing or damaged."""
        try:
            return cls(**json.loads(path.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    @property
    def name(self) -> str:
        """A name that no other process has."""
        return f"{self.pid}-{self.born}"

    def write(self, path: Path) -> None:
        """Record the identity atomically."""
        # No sync, because the process does not survive a power cut either.
        write_atomically(path, json.dumps(asdict(self)).encode(), sync=False)

    def process(self) -> psutil.Process | None:
        """Return the process; None if it has ended.

        For a record without a birth, this may be another one with the same pid.
        """
        try:
            process = psutil.Process(self.pid)
            if self.born not in ("", _born(self.pid)):
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


def find_recorded(stack: Path, service: str) -> psutil.Process | None:
    """Return the live process that a stack has recorded for a service.

    The record of a copied or restored folder may name another clone's process, so the process must
    have the marks as well.
    """
    identity = Identity.read(layout.record(service, stack))
    process = identity.process() if identity else None
    if process is None:
        return None
    # For a moment, a process that has just been started shows no environment.
    with suppress(Unavailable):
        wait_until(lambda: _environment(process), "it shows none", _EXEC_SECONDS, every=0.01)
    marks = _environment(process)
    ours = _is_marked(process, marks, stack) and marks.get(SERVICE_VARIABLE) == service
    return process if ours else None


def find_by_service(stack: Path) -> dict[str, list[psutil.Process]]:
    """Return a stack's live processes by service, without the caller and ancestors."""
    found: dict[str, list[psutil.Process]] = {}
    myself = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process, environment in _environments():
        if process.pid not in myself and _is_marked(process, environment, stack):
            found.setdefault(environment.get(SERVICE_VARIABLE, ""), []).append(process)
    return found


def is_foreign(process: psutil.Process, stack: Path) -> bool:
    """Return whether another clone started a process; raise AccessDenied if another user did."""
    environment = process.environ()
    return STACK_VARIABLE in environment and not _is_marked(process, environment, stack)


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """Send SIGTERM to processes, and SIGKILL after the grace period."""
    left = list(processes)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(left, timeout=grace_seconds)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
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
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) != leader:
                outside.append(process)
    return outside


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of processes, with shared pages once per process."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def wait_until_ended(process: psutil.Process, seconds: float) -> bool:
    """Return whether a process, which need not be a child, ends in time."""
    with suppress(Unavailable):
        return wait_until(lambda: not _is_alive(process), "it runs", seconds, every=0.05)
    return False


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _born(pid: int) -> str:
    """Return when a process was born; raise NoSuchProcess if there is none."""
    if not boot_id():
        # Without /proc, the system stores the start by the clock, and does not change it later.
        return f"{psutil.Process(pid).create_time()}"
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError) as error:
        raise psutil.NoSuchProcess(pid) from error
    fields = text.rpartition(")")[2].split()
    return f"{fields[_START_FIELD]}-{boot_id()}"


def _is_marked(process: psutil.Process, environment: Mapping[str, str], stack: Path) -> bool:
    mark = environment.get(STACK_VARIABLE, "")
    if not mark.startswith("/"):
        return bool(mark) and mark == identify(stack.parent).id
    # The release before marked its processes with the folder's path, which may have been renamed
    # since. They work in the folder itself, whatever its name.
    try:
        return Path(process.cwd()).is_relative_to(stack.parent.resolve())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _environment(process: psutil.Process) -> dict[str, str]:
    """Return a process's environment; empty if it has ended or belongs to another user."""
    try:
        return process.environ()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return {}


def _environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    user = os.getuid()
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess):
            if process.uids().real == user and process.status() != psutil.STATUS_ZOMBIE:
                yield process, _environment(process)
