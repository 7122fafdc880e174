"""Call a running supervisord by XML-RPC over its Unix socket."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ServerProxy, Transport

from mlstack.waiting import Unavailable, wait_until
from operations.embedded.service import Service
from operations.errors import StackError

_LEAST_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class State:
    """The state of one service.

    Args:
        name: `RUNNING`, `STARTING`, `BACKOFF`, `STOPPING`, `STOPPED`, `EXITED` or `FATAL`.
        pid: Process id, or 0.
        since: Unix time of its last start or, if it is down, of its end; 0 if neither.
        reason: Why it is not running.
    """

    name: str
    pid: int
    since: float
    reason: str


DOWN = State("STOPPED", 0, 0, "")


class SupervisordClient:
    """Calls supervisord, with a time limit for each step of a call."""

    def __init__(self, socket_record: Path, patience_seconds: float) -> None:
        self._socket_record, self._patience_seconds = socket_record, patience_seconds

    def states(self) -> dict[str, State]:
        """Return the state of every service."""
        states = {}
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
        """Start a service without waiting."""
        self._call("startProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003 - RPC

    def stop(self, service: Service) -> None:
        """Stop a service without waiting."""
        self._call("stopProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003 - RPC

    def answers_within(self, seconds: float, is_alive: Callable[[], bool]) -> bool:
        """Return whether it answers in time, without waiting for a dead one."""
        deadline = time.monotonic() + seconds

        def answers() -> bool:
            try:
                with self._proxy(max(deadline - time.monotonic(), _LEAST_SECONDS)) as proxy:
                    proxy.getState()
            except (OSError, HTTPException):
                return False
            return True

        with suppress(Unavailable):
            wait_until(lambda: not is_alive() or answers(), "no answer", seconds, every=0.05)
            return is_alive()
        return False

    def _call(self, method: str, *arguments: Any) -> Any:
        try:
            with self._proxy(self._patience_seconds) as proxy:
                return getattr(proxy, method)(*arguments)
        except Fault as fault:
            # Another caller was faster.
            if fault.faultString.startswith(("ALREADY_STARTED", "NOT_RUNNING")):
                return None
            raise StackError(f"supervisord: {fault.faultString}") from fault
        except (OSError, HTTPException) as error:
            raise StackError(f"supervisord does not answer ({error}); start it again") from error

    @contextmanager
    def _proxy(self, seconds: float) -> Iterator[Any]:
        transport = _UnixTransport(self._socket_record.read_text(), seconds)
        with ServerProxy("http://127.0.0.1", transport=transport) as proxy:
            yield proxy.supervisor


def is_listening(control: Path) -> bool:
    """Return whether a process listens on a socket, even if it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        return connection.connect_ex(str(control)) == 0


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket, with a time limit for each step."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("127.0.0.1", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(Transport):
    """XML-RPC over a Unix socket; supervisor's own transport has no time limits."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = _UnixConnection(self._path, self._seconds)
        self._connection = host, connection  # `close` expects it here
        return connection
