"""Wait until services that were started are ready."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlstack.command_line import say
from mlstack.probes import Answer
from operations.embedded import layout
from operations.embedded.service import Service
from operations.embedded.supervisord_client import State
from operations.errors import StackError

_READY_SECONDS = 240.0
_POLL_SECONDS = 0.2
_TAIL_LINES = 30
_REMIND_SECONDS = 15.0
# A service that died this often while it starts will not come up.
_DEATHS = 3


def wait_until_ready(
    services: Iterable[Service], read_states: Callable[[], Mapping[str, State]]
) -> None:
    """Wait until each service is ready, and print when it is.

    Raises:
        StackError: one will not become ready; names it, the reason and its last log lines.
    """
    began = time.monotonic()
    starting = [_Startup(service) for service in services]
    while starting:
        states = read_states()
        starting = [each for each in starting if not each.is_ready(states[each.service.name])]
        if starting:
            time.sleep(_POLL_SECONDS)
    say(f"all ready after {time.monotonic() - began:.1f} s")


@dataclass(slots=True)
class _Startup:
    """One service that starts."""

    service: Service
    began: float = field(default_factory=time.monotonic)
    reminded: float = field(default_factory=time.monotonic)
    pids: set[int] = field(default_factory=set)

    def is_ready(self, state: State) -> bool:
        """Return whether it is ready now; raise StackError when it never will be."""
        seconds = time.monotonic() - self.began
        if state.pid:
            self.pids.add(state.pid)
        answer = (
            self.service.probe()
            if state.name == "RUNNING" or (state.name == "STARTING" and self.service.address)
            else Answer(ready=False, detail=state.reason or state.name.lower())
        )
        if answer.ready:
            say(f"  {self.service.name:<20} ready   {self.service.address:<29} {seconds:5.1f} s")
            return True
        if state.name in ("FATAL", "STOPPED") or len(self.pids) >= _DEATHS:
            raise self._failure(f"it ends each time that it is started ({answer.detail})")
        if seconds > _READY_SECONDS:
            raise self._failure(f"not ready within {_READY_SECONDS:.0f} s: {answer.detail}")
        if time.monotonic() - self.reminded > _REMIND_SECONDS:
            self.reminded = time.monotonic()
            say(f"  {self.service.name:<20} waiting ({answer.detail})")
        return False

    def _failure(self, reason: str) -> StackError:
        log = layout.LOGS / f"{self.service.name}.log"
        return StackError(f"{self.service.name}: {reason}\n{_tail(log)}\nWhole log: {log}")


def _tail(log: Path) -> str:
    if not log.exists():
        return "(it has logged nothing)"
    with log.open(errors="replace") as lines:
        return "".join(f"  | {line}" for line in deque(lines, _TAIL_LINES)).rstrip()
