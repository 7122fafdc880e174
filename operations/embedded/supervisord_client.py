"""Ask and tell a running supervisord: XML-RPC over its Unix socket."""

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
        pid: Its process; 0: none.
        since: Unix time of its last start or, when it does not run, of its end; 0: neither.
        reason: Why it does not run.
    """

    name: str
    pid: int
    since: float
    reason: str


DOWN = State("STOPPED", 0, 0, "")


class SupervisordClient:
    """Calls supervisord.

    Args:
        socket_record: The file that names its socket.
        patience_seconds: What each step of a call may take.
    """

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
        """Tell it to start a service; do not wait."""
        self._call("startProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003 - RPC

    def stop(self, service: Service) -> None:
        """Tell it to stop a service; do not wait."""
        self._call("stopProcess", f"{service.group}:{service.name}", False)  # noqa: FBT003 - RPC

    def answers_within(self, seconds: float, is_alive: Callable[[], bool]) -> bool:
        """Return whether it answers in time; do not wait for one that is dead."""
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
            # The service is already in the wanted state: another caller was faster.
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


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket, with a time limit for each step of a request."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("127.0.0.1", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(Transport):
    """Like supervisor's own transport, but with time limits."""

    def __init__(self, path: str, seconds: float) -> None:
        super().__init__()
        self._path, self._seconds = path, seconds

    def make_connection(self, host: Any) -> HTTPConnection:
        connection = _UnixConnection(self._path, self._seconds)
        self._connection = host, connection  # `close` looks for it here
        return connection
