"""The HTTP servers as people run them: gunicorn on a free port, their state in a folder."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

import psutil

from mlstack.settings import ROOT
from tests.support.metrics import sample_sum
from tests.support.ports import free_port
from tests.support.server_environment import server_environment
from tests.support.waiting import wait_until

_STOP_SECONDS = 40


@dataclass
class Answer:
    """What came back: status, headers with their names in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class _Gunicorn:
    """A running server; the context manager ends it.

    Args:
        state: Its state folder.
        settings: More settings, as environment variables.
        awaited: What has to answer with 200 before the test begins.
        app: What gunicorn runs.
        config: How it runs it.
        port_variable: The setting that its port comes from.
    """

    def __init__(
        self,
        state: Path,
        settings: dict[str, str],
        *,
        awaited: str,
        app: str,
        config: str,
        port_variable: str,
    ) -> None:
        self._awaited, self._app, self._config = awaited, app, config
        self.host = settings.get("BIND_ADDRESS") or "127.0.0.1"
        self.port = int(settings.get(port_variable) or free_port())
        self.log = state / f"{app}-{self.host}.log"
        self._environment = server_environment(state, **{port_variable: str(self.port), **settings})

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", self._config, self._app],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self.answers, f"the server answers; {self.log}")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        children = [] if self.process.poll() is not None else self.workers()
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        finally:
            # Nothing of it is left, not even after a test that failed.
            for process in children:
                if process.is_running():
                    process.kill()
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()

    def stop(self) -> int:
        """Tell it to stop and wait; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(_STOP_SECONDS)

    def workers(self) -> list[psutil.Process]:
        """List its worker processes."""
        return psutil.Process(self.process.pid).children()

    def connect(self, timeout: float = 30) -> socket.socket:
        """Open a bare connection."""
        return socket.create_connection((self.host, self.port), timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = HTTPConnection(self.host, self.port, timeout=30)
        try:
            return send(connection, method, path, body, headers)
        finally:
            connection.close()

    def post(self, path: str, document: Any) -> Answer:
        """Send a JSON document."""
        body = json.dumps(document)
        return self.request("POST", path, body, [("Content-Type", "application/json")])

    def answers(self) -> bool:
        """Say whether the awaited path answers with 200."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log.read_text()}")
        try:
            return self.request("GET", self._awaited).status == 200
        except OSError:
            return False

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels."""
        return sample_sum(self.request("GET", "/metrics").body.decode(), name, **labels)


class ApiServer(_Gunicorn):
    """The server of predictions; see `_Gunicorn`."""

    def __init__(
        self,
        state: Path,
        awaited: str = "/health/ready",
        app: str = "server.predict_api_server:app",
        **settings: str,
    ) -> None:
        super().__init__(
            state,
            settings,
            awaited=awaited,
            app=app,
            config="server/gunicorn_conf.py",
            port_variable="API_PORT",
        )


class MonitorService(_Gunicorn):
    """The monitoring service; see `_Gunicorn`."""

    def __init__(self, state: Path, **settings: str) -> None:
        super().__init__(
            state,
            settings,
            awaited="/health/ready",
            app="monitoring.evidently_service.app:app",
            config="monitoring/evidently_service/gunicorn_conf.py",
            port_variable="EVIDENTLY_PORT",
        )

    def kill_worker(self) -> None:
        """Kill the process that does the work, and wait until another one answers."""
        (worker,) = self.workers()
        worker.kill()
        wait_until(lambda: self.workers() not in ([], [worker]), "another worker is there")
        wait_until(self.answers, "it answers")


def send(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: bytes | str | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> Answer:
    """Send one request on a connection that stays open."""
    connection.putrequest(method, path, skip_accept_encoding=True)
    content = body.encode() if isinstance(body, str) else body
    for name, value in headers:
        connection.putheader(name, value)
    if content is not None:
        connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content)
    response = connection.getresponse()
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, response.read())
