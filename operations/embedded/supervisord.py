"""One supervisord per checkout: started when it is needed, found again, ended.

It is known by its recorded pid and start time. One that was killed is simply gone: what it
left behind is ended, and a fresh one starts.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy, Transport

from mlstack.settings import ROOT
from operations.embedded import processes
from operations.embedded.errors import StackError
from operations.embedded.services import Service

NAME = "supervisord"
# Unix sockets take about 100 characters; a checkout may lie much deeper than that.
_SOCKET_LIMIT = 90
_START_SECONDS = 20.0
_ANSWER_SECONDS = 5.0
# On a machine that swaps, say: ending it would end every service.
_PATIENCE_SECONDS = 30.0
_LEAST_SECONDS = 0.1
_GRACE_SECONDS = 5.0
_JOB_SECONDS = 10.0
# A service comes back as soon as what it lacked is there again, be it after weeks.
_RETRIES = 1_000_000
# Of the caller's environment, what could turn our processes to something else.
_FOREIGN_PREFIXES = ("AWS_", "GUNICORN_", "MAKE", "MFLAGS", "MLFLOW_", "PREFECT_", "SUPERVISOR_")


@dataclass(frozen=True, slots=True)
class State:
    """What supervisord says of one service."""

    name: str
    """`RUNNING`, `STARTING`, `BACKOFF`, `STOPPING`, `STOPPED`, `EXITED` or `FATAL`."""
    pid: int
    """0: no process."""
    since: float
    """Unix time of its last start or, when it does not run, of its end; 0: neither."""
    reason: str


DOWN = State("STOPPED", 0, 0, "")


class Supervisord:
    """The supervisord of one stack.

    Args:
        stack: State folder of the checkout; with `run/` and `logs/`, made when needed.
        services: All services that it may be told to run.
    """

    def __init__(self, stack: Path, services: Iterable[Service]) -> None:
        self._stack = stack
        self._services = tuple(services)
        self._run = stack / "run"
        self._record = self._run / f"{NAME}.pid.json"
        self._socket_record = self._run / "socket"

    @property
    def is_running(self) -> bool:
        """Whether it runs; it may be busy and not answer just now."""
        identity = processes.Identity.read(self._record)
        return identity is not None and identity.process() is not None

    def ensure(self, foreign: Iterable[str], say: Callable[[str], None]) -> bool:
        """Makes sure that it runs and answers; call it under `lock`.

        Args:
            foreign: Variables of the caller that services must not inherit.
            say: Is told when it takes long.

        Returns:
            Whether a fresh one was started.

        Raises:
            StackError: it does not start.
        """
        if self.is_running and self._answers_in_the_end(say):
            return False
        self.end()
        self._run.mkdir(parents=True, exist_ok=True)
        (self._stack / "logs").mkdir(exist_ok=True)
        self._start(set(foreign))
        return True

    def end(self) -> int:
        """Ends it and everything of the stack, whatever state it is in.

        Returns:
            How many processes it had left behind.
        """
        identity = processes.Identity.read(self._record)
        process = identity.process() if identity else None
        if process is not None:
            # It stops its services in good order, each within its own time.
            process.terminate()
            longest = max((service.stop_seconds for service in self._services), default=0)
            if not processes.wait_until_ended(process, longest + _GRACE_SECONDS):
                process.kill()
        ended = processes.end_service(self._stack, None, _GRACE_SECONDS)
        self._remove_socket()
        self._record.unlink(missing_ok=True)
        return ended

    def states(self) -> dict[str, State]:
        """State of every service; all are down when it does not run."""
        states = {service.name: DOWN for service in self._services}
        if not self.is_running:
            return states
        for info in self._call("getAllProcessInfo"):
            up = info["pid"] != 0
            states[info["name"]] = State(
                name=info["statename"],
                pid=info["pid"],
                since=info["start"] if up else info["stop"],
                reason=info["spawnerr"] or ("" if up else info["description"]),
            )
        return states

    def start(self, service: Service) -> None:
        """Starts a service that is down; does not wait for it."""
        if self.states()[service.name].name == "BACKOFF":
            # It would be tried again by itself, but after a pause that may be long by now.
            self._call("stopProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003
        self._call("startProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003 - RPC

    def stop(self, services: Iterable[Service]) -> None:
        """Stops services together, and ends what they leave behind."""
        stopping = list(services)
        for service in stopping:
            if service.runs_jobs:
                self._end_jobs(service)
        for service in stopping:
            self._call("stopProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003
        deadline = time.monotonic() + max(s.stop_seconds for s in stopping) + _GRACE_SECONDS
        while left := [s.name for s in stopping if self.states()[s.name].pid]:
            if time.monotonic() > deadline:
                raise StackError(f"these do not stop: {', '.join(left)}")
            time.sleep(0.1)
        for service in stopping:
            processes.end_service(self._stack, service.name, _GRACE_SECONDS)

    def _end_jobs(self, service: Service) -> None:
        own = processes.marked(self._stack).get(service.name, [])
        jobs = processes.outside_group(own, self.states()[service.name].pid)
        processes.end(jobs, _JOB_SECONDS)

    def _start(self, foreign: set[str]) -> None:
        control = self._make_socket_folder() / "control"
        configuration = self._run / f"{NAME}.conf"
        configuration.write_text(_configuration(self._stack, control, self._services))
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key not in foreign and not key.startswith(_FOREIGN_PREFIXES)
        }
        complaint = self._run / f"{NAME}.err"
        with complaint.open("wb") as errors:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(configuration)],
                cwd=ROOT,
                env={**inherited, **processes.marker(self._stack, NAME)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                # It outlives the terminal, and a Ctrl-C there is not for it.
                start_new_session=True,
            )
        processes.Identity.of(daemon.pid).write(self._record)
        if not self._answers_within(_START_SECONDS, lambda: daemon.poll() is None):
            why = complaint.read_text().strip() or "it does not answer"
            self.end()
            raise StackError(f"supervisord did not start: {why}")

    def _answers_in_the_end(self, say: Callable[[str], None]) -> bool:
        """Whether it answers, with all patience while there is a way to it."""
        if self._answers_within(_ANSWER_SECONDS):
            return True
        if not self._is_reachable():
            return False
        say(
            f"supervisord does not answer; if it does not within {_PATIENCE_SECONDS:g} s, it is "
            "started anew, with every service"
        )
        return self._answers_within(_PATIENCE_SECONDS, self._is_reachable)

    def _is_reachable(self) -> bool:
        """Whether its socket is where it was: temporary folders get tidied up."""
        if not self.is_running or not self._socket_record.exists():
            return False
        return Path(self._socket_record.read_text()).exists()

    def _answers_within(self, seconds: float, alive: Callable[[], bool] = lambda: True) -> bool:
        deadline = time.monotonic() + seconds
        while alive() and time.monotonic() < deadline:
            try:
                self._proxy(max(deadline - time.monotonic(), _LEAST_SECONDS)).getState()
            except (OSError, HTTPException):
                time.sleep(0.05)
            else:
                return True
        return False

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            return getattr(self._proxy(_PATIENCE_SECONDS), method)(*arguments)
        except Fault as fault:
            # A service that is already where it is sent: somebody else was faster.
            if fault.faultString.startswith(("ALREADY_STARTED", "NOT_RUNNING")):
                return None
            raise StackError(f"supervisord: {fault.faultString}") from fault
        except (OSError, HTTPException) as error:
            raise StackError(f"supervisord does not answer ({error}); start it again") from error

    def _proxy(self, seconds: float) -> Any:
        transport = _UnixTransport(self._socket_record.read_text(), seconds)
        return ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def _make_socket_folder(self) -> Path:
        parent = tempfile.gettempdir()
        if len(parent) > _SOCKET_LIMIT - len("/mlstack-12345678/control"):
            parent = "/tmp"  # noqa: S108 - the folder in it is new and private
        folder = Path(tempfile.mkdtemp(prefix="mlstack-", dir=parent))
        self._socket_record.write_text(str(folder / "control"))
        return folder

    def _remove_socket(self) -> None:
        if self._socket_record.exists():
            folder = Path(self._socket_record.read_text()).parent
            if folder.name.startswith("mlstack-"):
                shutil.rmtree(folder, ignore_errors=True)
            self._socket_record.unlink()


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket.

    Args:
        path: The socket.
        seconds: What each step of a request may take.
    """

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("127.0.0.1", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(Transport):
    """What supervisor's own transport does, but never for ever. As `_UnixConnection`."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: object) -> HTTPConnection:  # noqa: ARG002 - there is but one
        return _UnixConnection(self._path, self._seconds)


@contextmanager
def lock(folder: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Lets one caller at a time start, stop or reset; the lock goes when its holder ends.

    Args:
        folder: What is locked: the folder itself, so that no lock file is left behind.
        waiting: Called when somebody else holds it, before waiting for them.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _configuration(stack: Path, control: Path, services: Iterable[Service]) -> str:
    """Configuration file of supervisord."""
    sections: list[tuple[str, Mapping[str, object]]] = [
        ("unix_http_server", {"file": control, "chmod": "0700"}),
        (
            "supervisord",
            {
                "directory": ROOT,
                "logfile": stack / "logs" / f"{NAME}.log",
                "logfile_maxbytes": "5MB",
                "logfile_backups": 1,
                "pidfile": stack / "run" / f"{NAME}.pid",
                "silent": "true",
            },
        ),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": ("supervisor.rpcinterface:make_main_rpcinterface")},
        ),
    ]
    groups: dict[str, list[str]] = {}
    for service in services:
        groups.setdefault(service.group, []).append(service.name)
        environment = processes.marker(stack, service.name)
        sections.append(
            (
                f"program:{service.name}",
                {
                    "command": f'"{sys.executable}" -m operations.embedded.launch {service.name}',
                    "directory": ROOT,
                    "environment": ",".join(f'{k}="{v}"' for k, v in environment.items()),
                    "autostart": "false",
                    "autorestart": "true",
                    # What ends sooner than this is tried again after a pause that grows.
                    "startsecs": 5,
                    "startretries": _RETRIES,
                    "stopsignal": "TERM",
                    "stopwaitsecs": service.stop_seconds,
                    "stopasgroup": "true",
                    "killasgroup": "true",
                    "redirect_stderr": "true",
                    "stdout_logfile": stack / "logs" / f"{service.name}.log",
                    "stdout_logfile_maxbytes": "5MB",
                    "stdout_logfile_backups": 2,
                },
            )
        )
    sections.extend((f"group:{name}", {"programs": ",".join(g)}) for name, g in groups.items())
    return "\n".join(
        f"[{title}]\n"
        # A percent sign starts an expansion there.
        + "".join(f"{key}={str(value).replace('%', '%%')}\n" for key, value in values.items())
        for title, values in sections
    )
