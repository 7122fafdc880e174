"""gunicorn's worker for ASGI applications: uvicorn's, which loses nothing when it stops.

In addition, this worker

- accepts as many connections as the other workers,
- answers what has been asked, and accepts no new connections, once it must stop,
- stops when its master is gone, so that the port is free for the next one,
- lets gunicorn run its hook `worker_exit` after a signal, too,
- applies the time limits of its connections.
"""

import asyncio
import math
import os
import resource
import signal
import socket
from functools import partial
from typing import cast

from uvicorn.config import Config
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from mlstack.web.asgi_protocol import HttpProtocol
from mlstack.web.listener import Connections, Listener
from mlstack.web.time_limits import TICK_SECONDS

_connections = Connections()

_MAX_FILES = 8192
"""Files that a worker may have open; half of them are for connections."""


class _Server(Server):
    """uvicorn's server for one of several workers; it loses no connection when it stops."""

    def __init__(self, config: Config, worker: int) -> None:
        super().__init__(config)
        self._worker = worker
        self._listeners: list[Listener] = []
        self._accepting: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen to sockets."""
        await super().startup([])
        self.tell_connections()
        self._listeners += (
            Listener(each, self._accept, self._has_too_many) for each in sockets or []
        )

    def tell_connections(self) -> None:
        """Tell the other workers; otherwise they think that this one is gone."""
        _connections.tell(self._worker, math.inf if self.should_exit else self._count)

    @property
    def _count(self) -> int:
        """Number of this worker's connections."""
        return len(self.server_state.connections) + len(self._accepting)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what has been asked, and end."""
        # What the master closes last is lost, so the ports are closed before anything is awaited.
        for listener in self._listeners:
            listener.close()
        if self._accepting:
            await asyncio.wait(self._accepting)
        await super().shutdown(sockets)

    def _accept(self, connection: socket.socket) -> None:
        task = asyncio.get_running_loop().create_task(self._begin(connection))
        # The loop itself has only weak references to its tasks.
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)
        self.tell_connections()

    async def _begin(self, connection: socket.socket) -> None:
        protocol = partial(HttpProtocol, self.config, self.server_state)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(protocol, connection)
        except OSError:
            connection.close()  # the client is gone already

    def _has_too_many(self) -> bool:
        self.tell_connections()
        # Among many, a small difference matters to nobody.
        return self._count > _connections.fewest() + self._count // 8


class Worker(UvicornWorker):  # type: ignore[misc] # it has no types
    """See the module."""

    CONFIG_KWARGS = {  # noqa: RUF012 - as the class above has it
        "http": HttpProtocol,
        "interface": "asgi3",
        "lifespan": "off",
        "loop": "uvloop",
        "proxy_headers": False,
        "server_header": False,
        "ws": "none",
        "callback_notify": None,
    }

    def init_process(self) -> None:
        """Allow as many connections as promised, and run."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = _MAX_FILES if most == resource.RLIM_INFINITY else min(_MAX_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
        HttpProtocol.max_connections = files // 2
        super().init_process()

    def init_signals(self) -> None:
        """Stop on a signal that comes before the server runs, or after it has ended."""
        super().init_signals()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)

    async def _serve(self) -> None:
        self.config.app = self.wsgi
        # Less than the time after which the master kills this worker.
        self.config.timeout_graceful_shutdown = max(1, self.cfg.graceful_timeout - 2)
        server = _Server(self.config, self.age)
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, _stop_at_once, server)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(server))
            await server.serve(sockets=self.sockets)
            watching.cancel()

    async def _watch(self, server: _Server) -> None:
        """Report to the master, see that it lives, and apply the time limits."""
        while True:
            self.notify()
            server.tell_connections()
            if not self.alive or os.getppid() != self.ppid:
                server.should_exit = True
            for connection in list(server.server_state.connections):
                cast("HttpProtocol", connection).tick()
            await asyncio.sleep(TICK_SECONDS)


def _stop_at_once(server: Server) -> None:
    server.should_exit = server.force_exit = True
