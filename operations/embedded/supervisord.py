"""Manage the checkout's supervisord.

It is identified by its record and its marks. If it was killed, its orphaned processes are ended and
a new one starts.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from mlstack.command_line import say
from mlstack.settings import ROOT
from mlstack.waiting import wait_until
from operations.embedded import layout, processes
from operations.embedded.service import Service
from operations.embedded.supervisord_client import DOWN, State, SupervisordClient, is_listening
from operations.errors import StackError

NAME = "supervisord"
_CONFIGURATION = f"{NAME}.conf"
# Unix socket paths are limited to about 100 characters, but a checkout's path may be longer.
_SOCKET_LIMIT = 90
_START_SECONDS = 20.0
_ANSWER_SECONDS = 5.0
# It may be slow on a machine that swaps, and ending it would end every service.
_PATIENCE_SECONDS = 30.0
_GRACE_SECONDS = 5.0
_JOB_SECONDS = 10.0
# Retries slow down, so this lasts for months; a disk may stay full for days.
_RETRIES = 1_000_000
# In its configuration a blank before # or ; starts a comment, so paths come from its environment.
_CONTROL_VARIABLE = "MLSTACK_CONTROL"
_PYTHON_VARIABLE = "MLSTACK_PYTHON"


class Supervisord:
    """The supervisord of one checkout, whose state folder is `stack`."""

    def __init__(self, stack: Path, services: Iterable[Service]) -> None:
        self._stack = stack
        self._services = tuple(services)
        self._run = stack / "run"
        self._record = layout.record(NAME, stack)
        self._socket_record = self._run / "socket"
        self._client = SupervisordClient(self._socket_record, _PATIENCE_SECONDS)
        self.interrupted: set[str] = set()
        """Names of the services that ran when `ensure` replaced it."""

    @property
    def is_running(self) -> bool:
        """Whether its process is alive; it may be too busy to answer."""
        return self._process() is not None

    def ensure(self, foreign: Iterable[str], wanted: Iterable[Service] = ()) -> bool:
        """Start it unless it answers; return whether a new one was started.

        It is replaced if its folder was renamed, or if its services are others, as after an
        upgrade. The caller must hold the stack's lock. Services do not inherit the
        variables in `foreign`. Raises StackError if it does not start.
        """
        if self.is_running and self._answers():
            fault = self._fault(wanted)
            if not fault:
                return False
            self.interrupted = {name for name, state in self.states().items() if state.pid}
            say(f"{fault} since the services were started: all of them are restarted")
        self.end()
        self._run.mkdir(parents=True, exist_ok=True)
        (self._stack / "logs").mkdir(exist_ok=True)
        self._start(set(foreign))
        return True

    def end(self) -> int:
        """End it and every process of the stack; return the number of orphans."""
        process = self._process()
        if process is not None:
            longest = max((service.stop_seconds for service in self._services), default=0)
            with suppress(psutil.NoSuchProcess):
                # It stops its services, each within its own time limit.
                process.terminate()
                if not processes.wait_until_ended(process, longest + _GRACE_SECONDS):
                    process.kill()
        ended = processes.end_service(self._stack, None, _GRACE_SECONDS)
        self._remove_socket()
        self._record.unlink(missing_ok=True)
        return ended

    def states(self) -> dict[str, State]:
        """Return the state of every service; all are down if supervisord is not running."""
        down = {service.name: DOWN for service in self._services}
        return {**down, **self._client.states()} if self.is_running else down

    def start(self, service: Service) -> None:
        """Start a service that is down, without waiting."""
        if self.states()[service.name].name == "BACKOFF":
            # Otherwise its next attempt might follow only after a long pause.
            self._client.stop(service)
        self._client.start(service)

    def stop(self, services: Iterable[Service]) -> None:
        """Stop services together and end the processes they leave behind."""
        stopping = list(services)
        for service in stopping:
            if service.runs_jobs:
                self._end_jobs(service)
        for service in stopping:
            self._client.stop(service)

        def up() -> list[str]:
            states = self.states()
            return [service.name for service in stopping if states[service.name].pid]

        wait_until(
            lambda: not up(),
            lambda: f"these services cannot be stopped: {', '.join(up())}",
            max(service.stop_seconds for service in stopping) + _GRACE_SECONDS,
            every=0.1,
        )
        for service in stopping:
            processes.end_service(self._stack, service.name, _GRACE_SECONDS)

    def _process(self) -> psutil.Process | None:
        if recorded := processes.find_recorded(self._stack, NAME):
            return recorded
        # The record may be lost, or older than what runs, in a folder that was restored.
        running = processes.find_by_service(self._stack).get(NAME)
        return running[0] if running else None

    def _end_jobs(self, service: Service) -> None:
        own = processes.find_by_service(self._stack).get(service.name, [])
        jobs = processes.outside_group(own, self.states()[service.name].pid)
        processes.end(jobs, _JOB_SECONDS)

    def _start(self, foreign: set[str]) -> None:
        paths = {
            _CONTROL_VARIABLE: str(self._make_socket_folder() / "control"),
            _PYTHON_VARIABLE: sys.executable,
        }
        configuration = self._run / _CONFIGURATION
        configuration.write_text(_configuration(self._services), encoding="utf-8")
        inherited = {key: value for key, value in os.environ.items() if key not in foreign}
        error_log = self._run / f"{NAME}.err"
        with error_log.open("wb") as errors:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)],
                cwd=ROOT,
                env={**inherited, **processes.marker(self._stack, NAME), **paths},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # It must outlive the terminal and ignore Ctrl-C there.
                start_new_session=True,
            )
        processes.Identity.of(daemon.pid).write(self._record)
        if not self._client.answers_within(_START_SECONDS, lambda: daemon.poll() is None):
            reason = error_log.read_text().strip() or "it does not answer"
            self.end()
            raise StackError(f"supervisord did not start: {reason}")

    def _answers(self) -> bool:
        """Return whether it answers; wait longer while its socket exists."""
        if self._client.answers_within(_ANSWER_SECONDS, lambda: True):
            return True
        if not self._is_reachable():
            return False
        say(
            "supervisord does not answer; it and all services will be restarted if it stays silent "
            f"for {_PATIENCE_SECONDS:g} s"
        )
        return self._client.answers_within(_PATIENCE_SECONDS, self._is_reachable)

    def _is_reachable(self) -> bool:
        # Cleaners of temporary folders may delete the socket.
        if not self.is_running or not self._socket_record.exists():
            return False
        return Path(self._socket_record.read_text()).exists()

    def _make_socket_folder(self) -> Path:
        parent = tempfile.gettempdir()
        if len(parent) > _SOCKET_LIMIT - len("/mlstack-12345678/control"):
            parent = "/tmp"  # noqa: S108 - the subfolder is new and private
        folder = Path(tempfile.mkdtemp(prefix="mlstack-", dir=parent))
        self._socket_record.write_text(str(folder / "control"))
        return folder

    @property
    def was_moved(self) -> bool:
        """Whether it was started in a folder that was renamed since."""
        configuration = self._run / _CONFIGURATION
        if not configuration.exists():
            return False
        text = configuration.read_text(encoding="utf-8")
        # The release before named the folder in a line of its own.
        return not text.startswith(_head()) and f"\ndirectory={ROOT}\n" not in text

    def _fault(self, wanted: Iterable[Service]) -> str:
        """Return why it cannot run the wanted services; empty if it can."""
        if self.was_moved:
            return "this folder was renamed"
        names = [service.name for service in wanted]
        known = self._client.states() if names else {}
        if new := [name for name in names if name not in known]:
            return f"there are new services ({', '.join(new)})"
        gone = known.keys() - {service.name for service in self._services}
        return f"services are gone ({', '.join(sorted(gone))})" if gone else ""

    def _remove_socket(self) -> None:
        if self._socket_record.exists():
            control = Path(self._socket_record.read_text())
            # A copied folder names the socket of its original, which may be in use.
            if control.parent.name.startswith("mlstack-") and not is_listening(control):
                shutil.rmtree(control.parent, ignore_errors=True)
            self._socket_record.unlink()


def _head() -> str:
    return f"; in {ROOT}\n"


def _configuration(services: Iterable[Service]) -> str:
    """Return the text of supervisord's configuration file, which lies in `run/`."""
    sections: dict[str, Mapping[str, object]] = {
        "unix_http_server": {"file": f"%(ENV_{_CONTROL_VARIABLE})s", "chmod": "0700"},
        "supervisord": {
            "logfile": f"%(here)s/../logs/{NAME}.log",
            "logfile_maxbytes": "5MB",
            "logfile_backups": 1,
            "pidfile": f"%(here)s/{NAME}.pid",
            "silent": "true",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
    }
    groups: dict[str, list[str]] = {}
    for service in services:
        groups.setdefault(service.group, []).append(service.name)
        sections[f"program:{service.name}"] = {
            "command": (
                f'"%(ENV_{_PYTHON_VARIABLE})s" -m operations.embedded.launch {service.name}'
            ),
            # It inherits the rest of the marker, and the folder in which it runs.
            "environment": f'{processes.SERVICE_VARIABLE}="{service.name}"',
            "autostart": "false",
            "autorestart": "true",
            # A service that ends sooner is restarted after a growing pause.
            "startsecs": 5,
            "startretries": _RETRIES,
            "stopsignal": "TERM",
            "stopwaitsecs": service.stop_seconds,
            "stopasgroup": "true",
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": f"%(here)s/../logs/{service.name}.log",
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": 2,
        }
    for group, names in groups.items():
        sections[f"group:{group}"] = {"programs": ",".join(names)}
    return _head() + "\n".join(
        f"[{title}]\n" + "".join(f"{key}={value}\n" for key, value in values.items())
        for title, values in sections.items()
    )
