"""Wait until started services are ready."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from mlstack.command_line import say
from mlstack.probes import Answer
from mlstack.waiting import wait_until
from operations.embedded import layout
from operations.embedded.service import Service
from operations.embedded.supervisord_client import State
from operations.errors import StackError

_READY_SECONDS = 240.0
_TAIL_LINES = 30
_REMIND_SECONDS = 15.0
# A service that dies this often during its start will not become ready.
_DEATHS = 3


def wait_until_ready(
    services: Iterable[Service], read_states: Callable[[], Mapping[str, State]]
) -> None:
    """Wait until each service is ready, and print when it is.

    Raises MlstackError with the reason and the last log lines of a service that fails.
    """
    began = time.monotonic()
    starting = [_Startup(service) for service in services]

    def all_are_ready() -> bool:
        states = read_states()
        starting[:] = [each for each in starting if not each.is_ready(states[each.service.name])]
        return not starting

    wait_until(all_are_ready, lambda: starting[0].describe("not ready in time"), _READY_SECONDS)
    say(f"all ready after {time.monotonic() - began:.1f} s")


@dataclass(slots=True)
class _Startup:
    """The start of one service."""

    service: Service
    began: float = field(default_factory=time.monotonic)
    reminded: float = field(default_factory=time.monotonic)
    pids: set[int] = field(default_factory=set)
    detail: str = ""

    def is_ready(self, state: State) -> bool:
        """Return whether it is ready; raise StackError if it never will be."""
        if state.pid:
            self.pids.add(state.pid)
        answer = (
            self.service.probe()
            if state.name == "RUNNING" or (state.name == "STARTING" and self.service.address)
            else Answer(ready=False, detail=state.reason or state.name.lower())
        )
        self.detail = answer.detail
        now = time.monotonic()
        name = f"  {self.service.name:<20}"
        if answer.ready:
            say(f"{name} ready   {self.service.address:<29} {now - self.began:5.1f} s")
            return True
        if state.name in ("FATAL", "STOPPED") or len(self.pids) >= _DEATHS:
            raise StackError(self.describe("it exits at every start"))
        if now - self.reminded > _REMIND_SECONDS:
            self.reminded = now
            say(f"{name} waiting ({answer.detail})")
        return False

    def describe(self, failure: str) -> str:
        """Describe why it is not ready, with the end of its log."""
        log = layout.LOGS / f"{self.service.name}.log"
        tail = "(it has logged nothing)\n"
        if log.exists():
            with log.open(errors="replace") as lines:
                tail = "".join(f"  | {line}" for line in deque(lines, _TAIL_LINES))
        return f"{self.service.name}: {failure} ({self.detail})\n{tail}Whole log: {log}"
