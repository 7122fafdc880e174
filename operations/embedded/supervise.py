"""Starts, stops and shows the embedded services.

Usage: python -m operations.embedded.supervise COMMAND, which is one of
start NAME... | stop NAME... | status | logs [SERVICE] | reset

NAME is a group (`model-registry`, `serve`, `monitoring`) or a service.
The active environment must be loaded (`python -m mlstack.with_environment`).
"""

import os
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mlstack import environments
from mlstack.errors import MlstackError
from mlstack.files import private_folder
from mlstack.probes import Answer
from mlstack.secret_files import draw
from mlstack.settings import ROOT, Settings
from operations.embedded import layout, processes
from operations.embedded.errors import StackError
from operations.embedded.orders import Order
from operations.embedded.services import GROUPS, Service, all_services
from operations.embedded.supervisord import NAME as DAEMON
from operations.embedded.supervisord import State, Supervisord, lock

ENVIRONMENT = "embedded"
_READY_SECONDS = 240.0
_GRACE_SECONDS = 5.0
_TAIL_LINES = 30
# As often as this a service may die on its way up before the start gives up.
_DEATHS = 3
_REMIND_SECONDS = 15.0
_MIB = 1024 * 1024


class Stack:
    """The embedded services of this checkout under one set of settings.

    Args:
        settings: What is in force; the process environment carries the same.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.services = all_services(settings)
        self._daemon = Supervisord(layout.STACK, self.services)

    def start(self, names: Iterable[str], *, wait: bool = True) -> None:
        """Starts services together and waits until each is ready.

        One that runs under other settings is started anew.

        Args:
            names: Groups and services.
            wait: False: they are only started, and waiting is up to the caller.

        Raises:
            StackError: one does not become ready; says which, why, and ends with its log.
        """
        chosen = self.startable(names)
        active = environments.variables(ENVIRONMENT)
        with _turn():
            # Customers are in there: spools, tables, reports.
            private_folder(layout.STACK)
            private_folder(self._settings.state_path)
            if self._settings.is_exposed and draw(layout.FEEDBACK_TOKEN):
                _say(f"drawn: the token that outcomes are sent with, {layout.FEEDBACK_TOKEN}")
            if self._daemon.ensure(active, _say):
                _say("supervisord started")
            self._start(chosen, active)
            if wait:
                self.wait_until_ready([service.name for service in chosen])

    def startable(self, names: Iterable[str]) -> list[Service]:
        """Those services for which this machine has what they need; says which it has not."""
        chosen = self._of(names)
        for service in chosen:
            if service.lacks:
                _say(f"  {service.name:<20} left out: {service.lacks}")
        return [service for service in chosen if not service.lacks]

    def wait_until_ready(self, names: Iterable[str]) -> None:
        """Waits until each of groups and services answers, and says so. Raises as `start`."""
        chosen = [service for service in self._of(names) if not service.lacks]
        waiting = {service.name: _Waiting(service) for service in chosen}
        began = time.monotonic()
        while waiting:
            states = self._daemon.states()
            for name, wait in list(waiting.items()):
                if wait.look(states[name]):
                    _say(f"  {name:<20} ready   {wait.service.address:<29} {wait.seconds:5.1f} s")
                    del waiting[name]
            if waiting:
                time.sleep(0.2)
        _say(f"all ready after {time.monotonic() - began:.1f} s")

    def stop(self, names: Iterable[str]) -> None:
        """Stops groups and services; when nothing runs any more, supervisord too."""
        chosen = self._of(names)
        with _turn():
            if not self._daemon.is_running:
                ended = self._daemon.end()
                _say("nothing runs" if not ended else f"ended {ended} processes left behind")
                return
            # First those that lean on others: a flow run still reports its end to Prefect.
            for leaning in (True, False):
                stopping = [service for service in chosen if bool(service.waits_for) == leaning]
                if stopping:
                    self._daemon.stop(stopping)
            _say(f"stopped: {', '.join(service.name for service in chosen)}")
            if not any(state.pid for state in self._daemon.states().values()):
                self._daemon.end()

    def status(self) -> None:
        """Prints a table of all services."""
        states = self._daemon.states()
        own = processes.marked(layout.STACK)
        lines = []
        if own and not self._daemon.is_running:
            lines.append(
                "supervisord was killed; what it left runs on until the next start or reset"
            )
        row = "{:<20} {:<9} {:>7}  {:<19} {:>8}  {:<29} {}"
        lines.append(
            row.format("service", "state", "pid", "since (UTC)", "memory", "address", "ready")
        )
        for service in self.services:
            state = states[service.name]
            answer = (
                service.probe()
                if state.pid
                else Answer(ready=False, detail=service.lacks or state.reason)
            )
            memory = processes.memory_bytes(own.get(service.name, []))
            lines.append(
                row.format(
                    service.name,
                    state.name.lower(),
                    state.pid or "",
                    _time(state.since),
                    f"{memory / _MIB:.0f} MiB" if memory else "",
                    service.address,
                    " ".join(("yes" if answer.ready else "no", answer.detail)),
                ).rstrip()
            )
        total = processes.memory_bytes(process for group in own.values() for process in group)
        lines.append(f"together {total / _MIB:.0f} MiB (shared pages count for each process)")
        _say("\n".join(lines))

    def logs(self, service: str) -> None:
        """Becomes `tail` on a service's log or, for an empty name, on all; follows on a terminal.

        Raises:
            StackError: there is no such service, or it has no log yet.
        """
        names = [each.name for each in self.services]
        if service and service not in (*names, DAEMON):
            raise StackError(f"service={service}: there is {', '.join(names)} and {DAEMON}")
        files = [layout.LOGS / f"{name}.log" for name in ([service] if service else names)]
        files = [file for file in files if file.exists()]
        if not files:
            raise StackError("there is no log yet: nothing was started")
        follow = ["-F"] if sys.stdout.isatty() else []
        lines = "100" if service else "20"
        os.execvp("tail", ["tail", "-n", lines, *follow, *map(str, files)])  # noqa: S606

    def reset(self) -> None:
        """Ends everything of this stack and deletes its state; nothing outside of it."""
        with _turn():
            self._daemon.end()
            left = processes.marked(layout.STACK)
            if left:
                raise StackError(f"still there: {left}")
            if layout.STACK.is_symlink():
                layout.STACK.unlink()
            elif layout.STACK.exists():
                shutil.rmtree(layout.STACK)
            if environments.active_name() == ENVIRONMENT:
                environments.forget()
        _say("reset: nothing runs, and .embedded/ and .env are gone")

    def _of(self, names: Iterable[str]) -> list[Service]:
        wanted = set(names)
        known = {*GROUPS, *(service.name for service in self.services)}
        if unknown := wanted - known:
            raise StackError(
                f"no such group or service: {', '.join(sorted(unknown))}; "
                f"there is {', '.join(sorted(known))}"
            )
        return [service for service in self.services if wanted & {service.name, service.group}]

    def _start(self, chosen: list[Service], active: dict[str, str]) -> None:
        states = self._daemon.states()
        changed = [
            service
            for service in chosen
            if Order.of(service, active).write(layout.RUN, service.name)
            and states[service.name].pid
        ]
        if changed:
            _say(f"settings changed: {', '.join(service.name for service in changed)} anew")
            self._daemon.stop(changed)
        for service in chosen:
            self._daemon.start(service)


@dataclass(slots=True)
class _Waiting:
    """One service on its way up."""

    service: Service
    began: float = field(default_factory=time.monotonic)
    pids: list[int] = field(default_factory=list)
    reminded: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def look(self, state: State) -> bool:
        """Whether it is ready now.

        Raises:
            StackError: it will not become ready.
        """
        if state.pid and state.pid not in self.pids:
            self.pids.append(state.pid)
        answer = (
            self.service.probe()
            if state.name == "RUNNING" or (state.name == "STARTING" and self.service.address)
            else Answer(ready=False, detail=state.reason or state.name.lower())
        )
        if answer.ready:
            return True
        if state.name in ("FATAL", "STOPPED") or len(self.pids) >= _DEATHS:
            raise self._failure(f"it ends each time that it is started ({answer.detail})")
        if self.seconds > _READY_SECONDS:
            raise self._failure(f"not ready within {_READY_SECONDS:.0f} s: {answer.detail}")
        if time.monotonic() - self.reminded > _REMIND_SECONDS:
            self.reminded = time.monotonic()
            _say(f"  {self.service.name:<20} waiting ({answer.detail})")
        return False

    def _failure(self, why: str) -> StackError:
        log = layout.LOGS / f"{self.service.name}.log"
        return StackError(f"{self.service.name}: {why}\n{_tail(log)}\nWhole log: {log}")


def _turn() -> AbstractContextManager[None]:
    return lock(ROOT, lambda: _say("waiting for another make on this checkout to finish ..."))


def _tail(log: Path) -> str:
    if not log.exists():
        return "(it has logged nothing)"
    with log.open(errors="replace") as lines:
        return "".join(f"  | {line}" for line in deque(lines, _TAIL_LINES)).rstrip()


def _time(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%d %H:%M:%S") if unix else ""


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


def main(arguments: list[str]) -> None:
    """Does what the command line says.

    Raises:
        MlstackError: it cannot be done.
    """
    if not arguments:
        raise StackError((__doc__ or "").strip())
    stack = Stack(environments.load(ENVIRONMENT))
    match arguments:
        case ["start", *names] if names:
            stack.start(names)
        case ["stop", *names] if names:
            stack.stop(names)
        case ["status"]:
            stack.status()
        case ["logs", *service]:
            stack.logs(service[0] if service else "")
        case ["reset"]:
            stack.reset()
        case _:
            raise StackError((__doc__ or "").strip())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MlstackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
