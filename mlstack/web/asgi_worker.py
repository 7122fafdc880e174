"""gunicorn's worker for ASGI applications: uvicorn's, which loses nothing when it stops.

In addition, this worker

- answers what has been asked, and accepts no new connections, once it must stop,
- stops when its master is gone, so that the port is free for the next one,
- lets gunicorn run its hook `worker_exit` after a signal, too,
- applies the time limits of its connections.
"""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Iterator
from functools import partial
from typing import cast

from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from mlstack.web.asgi_protocol import HttpProtocol
from mlstack.web.time_limits import TICK_SECONDS

_MAX_FILES = 8192
"""Files that a worker may have open; half of them are for connections."""


class _Server(Server):
    """uvicorn's server, which accepts the connections that wait before it stops listening."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, answer what has been asked, and end."""
        waiting = [each for listener in sockets or [] for each in _accept_all(listener)]
        # What the master closes last is lost, so the ports are closed before anything is awaited.
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        protocol = partial(HttpProtocol, self.config, self.server_state, self.lifespan.state)
        for each in waiting:
            await loop.connect_accepted_socket(protocol, each)
        await super().shutdown(sockets)


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
        server = _Server(self.config)
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, _stop_at_once, server)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(server))
            await server.serve(sockets=self.sockets)
            watching.cancel()

    async def _watch(self, server: Server) -> None:
        """Report to the master, see that it lives, and apply the time limits."""
        while True:
            self.notify()
            if not self.alive or os.getppid() != self.ppid:
                server.should_exit = True
            for connection in list(server.server_state.connections):
                cast("HttpProtocol", connection).tick()
            await asyncio.sleep(TICK_SECONDS)


def _stop_at_once(server: Server) -> None:
    server.should_exit = server.force_exit = True


def _accept_all(listener: socket.socket) -> Iterator[socket.socket]:
    """Accept the connections that wait; more than there can be are not taken."""
    for _ in range(_MAX_FILES):
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # none waits, or there are too many files
        connection.setblocking(False)  # noqa: FBT003 - it has no name
        yield connection
