"""Start, stop and show the embedded services."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from mlstack import environments
from mlstack.command_line import say
from mlstack.files import private_folder
from mlstack.probes import Answer
from mlstack.secret_files import draw
from mlstack.settings import ROOT, Settings
from operations import dask_certificates
from operations.alerting.receivers import status_line
from operations.embedded import layout, processes
from operations.embedded.neighbours import describe_foreign, require_own_ports
from operations.embedded.orders import Order
from operations.embedded.readiness import wait_until_ready
from operations.embedded.service import GROUPS, Service
from operations.embedded.services import all_services
from operations.embedded.supervisord import NAME as SUPERVISORD
from operations.embedded.supervisord import Supervisord
from operations.errors import StackError

ENVIRONMENT = "embedded"
_MIB = 1024 * 1024


class EmbeddedStack:
    """This checkout's services; the process environment must match `settings`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.services = all_services(settings)
        self._supervisord = Supervisord(layout.STACK, self.services)

    def start(self, names: Iterable[str], *, wait: bool = True) -> None:
        """Start groups and services together; by default wait until they are ready.

        A service that runs with outdated settings is restarted. Raises StackError with the reason
        and the last log lines of a service that fails.
        """
        if self._settings.api_servers > 1:
            raise StackError(
                f"API_SERVERS={self._settings.api_servers}: several HTTP servers run in containers "
                "only (env=local, env=cloud); here API_WORKERS adds processes to the one"
            )
        if self._settings.stream_servers > 1:
            raise StackError(
                f"STREAM_SERVERS={self._settings.stream_servers}: several stream servers run in "
                "containers only (env=local, env=cloud)"
            )
        chosen = self.startable(names)
        require_own_ports(layout.STACK, chosen)
        active = environments.variables(ENVIRONMENT)
        with _lock():
            # Spools, tables and reports contain customer data.
            private_folder(layout.STACK)
            private_folder(self._settings.state_path)
            if self._settings.is_exposed and draw(layout.FEEDBACK_TOKEN):
                say(f"generated the token for sending outcomes: {layout.FEEDBACK_TOKEN}")
            self._draw_certificates()
            if self._supervisord.ensure(active, chosen):
                say("supervisord started")
            running = self._supervisord.interrupted
            chosen += [
                each for each in self.services if each.name in running and each not in chosen
            ]
            self._start(chosen, active)
            if wait:
                wait_until_ready(chosen, self._supervisord.states)

    def startable(self, names: Iterable[str]) -> list[Service]:
        """Return the chosen services that can run here; print why others cannot."""
        chosen = self._select(names)
        for service in chosen:
            if service.lacks:
                say(f"  {service.name:<20} skipped: {service.lacks}")
        return [service for service in chosen if not service.lacks]

    def wait_until_ready(self, names: Iterable[str]) -> None:
        """Wait until groups and services are ready; raise StackError as `start` does."""
        chosen = [service for service in self._select(names) if not service.lacks]
        wait_until_ready(chosen, self._supervisord.states)

    def stop(self, names: Iterable[str]) -> None:
        """Stop groups and services; if nothing runs any more, stop supervisord too."""
        chosen = self._select(names)
        with _lock():
            if not self._supervisord.is_running:
                ended = self._supervisord.end()
                say("nothing is running" if not ended else f"ended {ended} processes left behind")
                return
            # Stop dependent services first: a flow run still reports its end to Prefect.
            for dependent in (True, False):
                stopping = [each for each in chosen if bool(each.waits_for) == dependent]
                if stopping:
                    self._supervisord.stop(stopping)
            say(f"stopped: {', '.join(service.name for service in chosen)}")
            if not any(state.pid for state in self._supervisord.states().values()):
                self._supervisord.end()

    def status(self) -> None:
        """Print a table of all services."""
        states = self._supervisord.states()
        own = processes.find_by_service(layout.STACK)
        lines = [f"front page: {self._settings.front_page}/"]
        if foreign := describe_foreign(layout.STACK, self.services):
            lines.append(f"!! {foreign}")
        if self._supervisord.is_running and self._supervisord.was_moved:
            lines.append("this folder was renamed while its services ran: start them again")
        if own and not self._supervisord.is_running:
            lines.append(
                "supervisord was killed; its services keep running until the next start or reset"
            )
        row = "{:<20} {:<9} {:>7}  {:<19} {:>8}  {:<29} {}"
        head = ("service", "state", "pid", "since (UTC)", "memory", "address", "ready")
        lines.append(row.format(*head))
        for service in self.services:
            state = states[service.name]
            answer = (
                service.probe()
                if state.pid
                else Answer(ready=False, detail=service.lacks or state.reason)
            )
            memory = processes.memory_bytes(own.get(service.name, []))
            since = datetime.fromtimestamp(state.since, UTC)
            cells = (
                service.name,
                state.name.lower(),
                state.pid or "",
                since.strftime("%Y-%m-%d %H:%M:%S") if state.since else "",
                f"{memory / _MIB:.0f} MiB" if memory else "",
                service.address,
                f"{'yes' if answer.ready else 'no'} {answer.detail}",
            )
            lines.append(row.format(*cells).rstrip())
        total = processes.memory_bytes(process for group in own.values() for process in group)
        lines.append(f"total {total / _MIB:.0f} MiB (shared pages count for each process)")
        lines.append(status_line(self._settings))
        say("\n".join(lines))

    def logs(self, service: str) -> None:
        """Become `tail` on a service's log, or on all logs if the name is empty.

        Raises StackError if there is no such service, or no log yet.
        """
        names = [each.name for each in self.services]
        if service and service not in (*names, SUPERVISORD):
            raise StackError(f"service={service}: there is {', '.join(names)} and {SUPERVISORD}")
        files = [layout.LOGS / f"{name}.log" for name in ([service] if service else names)]
        files = [file for file in files if file.exists()]
        if not files:
            raise StackError("there is no log yet: no service was started")
        follow = ["-F"] if sys.stdout.isatty() else []
        lines = "100" if service else "20"
        os.execvp("tail", ["tail", "-n", lines, *follow, *map(str, files)])  # noqa: S606 - no shell

    def reset(self) -> None:
        """End every process of this stack and delete its state, and nothing else.

        Raises StackError if a process survives; nothing is deleted then.
        """
        with _lock():
            self._supervisord.end()
            if layout.STACK.is_symlink():
                layout.STACK.unlink()
            elif layout.STACK.exists():
                shutil.rmtree(layout.STACK)
            if environments.active_name() == ENVIRONMENT:
                environments.forget()
        say("reset: nothing is running; .embedded/ and .env were deleted")

    def adopt(self) -> None:
        """Say that there is nothing to adopt: always raises StackError."""
        raise StackError(
            f"env={ENVIRONMENT} keeps everything in {layout.STACK}: move that folder here instead"
        )

    def _select(self, names: Iterable[str]) -> list[Service]:
        wanted = set(names)
        known = {*GROUPS, *(service.name for service in self.services)}
        if unknown := wanted - known:
            raise StackError(
                f"no such group or service: {', '.join(sorted(unknown))}; "
                f"there is {', '.join(sorted(known))}"
            )
        return [service for service in self.services if wanted & {service.name, service.group}]

    def _draw_certificates(self) -> None:
        if self._settings.has_dask_cluster:
            folder = (ROOT / self._settings.dask_certificate).parent
            private_folder(folder.parent)
            if dask_certificates.draw(folder):
                say(f"generated the certificates of the Dask cluster: {folder}")

    def _start(self, chosen: list[Service], active: dict[str, str]) -> None:
        states = self._supervisord.states()
        changed = []
        for service in chosen:
            order_changed = Order.of(service, active).write(layout.RUN, service.name)
            if (service.configure() or order_changed) and states[service.name].pid:
                changed.append(service)
        if changed:
            say(f"settings changed: restarting {', '.join(service.name for service in changed)}")
            self._supervisord.stop(changed)
        for service in chosen:
            self._supervisord.start(service)


@contextmanager
def _lock() -> Iterator[None]:
    """Hold the lock of start, stop and reset, which ends with this process."""
    # Lock the folder itself, so that no lock file remains.
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another make on this checkout to finish ...")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
